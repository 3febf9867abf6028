package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	interval = 30 * time.Second
	// retryInterval is the time between passes after a pass that failed.
	retryInterval = 5 * time.Second
	// maxRounds bounds the rounds of one pass. Each step takes
	// a round, and so does each conflict with another writer.
	maxRounds = 8
	timeout   = 20 * time.Second
	// maxAge is the time since the last successful pass after which a replica is not ready.
	maxAge = overlap / 2
)

// Options are the options of a [Keeper].
type Options struct {
	// Client reads and writes the API server directly, without a cache.
	Client client.Client
	// Namespace is the namespace of the Secret, the Service and the ConfigMap.
	Namespace, Secret, Service string
	// Names are DNS names and IP addresses of the certificate in addition to the names of the Service.
	Names []string
	// Webhooks are the names of ValidatingWebhookConfigurations, and Mutating those of MutatingWebhookConfigurations.
	// Each of them gets the bundle. A missing configuration causes no calls and is skipped.
	Webhooks, Mutating []string
	// ConfigMap is the name of the ConfigMap whose key ca.crt
	// gets the bundle. It is created if it is missing. "": none.
	ConfigMap string
	// ClientSecret is the name of the Secret that gets a certificate for clients
	// of the server, in tls.crt and tls.key, signed by the same authorities. It
	// contains no key of an authority, so that nodes may read it. "": none.
	ClientSecret string
	// ClientSubject is the subject of that certificate.
	ClientSubject pkix.Name
	// Of names the owner of the certificate in messages. Default: "webhook".
	Of    string
	Clock clock.Clock // default: the real clock
	Log   logr.Logger
}

// Keeper keeps the certificate of one replica up to date. It runs from [Keeper.Start] on without leader election.
type Keeper struct {
	o       Options
	names   []string
	passing sync.Mutex
	serving atomic.Pointer[tls.Certificate]
	// passed is the time when the last successful pass began.
	passed atomic.Pointer[time.Time]
	// authorities are the authorities of the bundle, and learnt is the state after the last round.
	authorities atomic.Pointer[x509.CertPool]
	learnt      state
}

// +kubebuilder:rbac:groups="",namespace=nfo-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=nfo-system,resources=secrets,resourceNames=nfo-webhook-certificate,verbs=get;update
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=nfo-validating,verbs=get;patch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=nfo-pods,verbs=get;patch

// New makes a Keeper that has no certificate yet.
func New(o Options) *Keeper {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Of == "" {
		o.Of = "webhook"
	}
	return &Keeper{o: o, names: append(dnsNames(o.Service, o.Namespace), o.Names...)}
}

// NeedLeaderElection returns false, because every replica serves.
func (k *Keeper) NeedLeaderElection() bool { return false }

// Start makes a pass every 30 s, and 5 s after a pass that failed, until ctx ends. It logs errors.
func (k *Keeper) Start(ctx context.Context) error {
	for {
		wait := interval
		if err := k.Ensure(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.Error(err, "Could not look after the "+k.o.Of+"'s certificate")
			wait = retryInterval
		}
		timer := k.o.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
	}
}

// GetCertificate returns the certificate to serve, for a tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := k.serving.Load(); c != nil {
		return c, nil
	}
	return nil, k.none()
}

func (k *Keeper) none() error { return fmt.Errorf("the %s has no certificate yet", k.o.Of) }

// Ready is a check for readyz. It returns an error if there is no
// valid certificate, or if the last successful pass is too long ago.
func (k *Keeper) Ready(*http.Request) error {
	c, passed, now := k.serving.Load(), k.passed.Load(), k.o.Clock.Now()
	switch {
	case c == nil || passed == nil:
		return k.none()
	case now.Sub(*passed) >= maxAge:
		return fmt.Errorf("the %s's certificate has not been looked after since %s", k.o.Of, passed.UTC().Format(time.RFC3339))
	case now.Before(c.Leaf.NotBefore) || now.After(c.Leaf.NotAfter):
		return fmt.Errorf("the %s's certificate is valid from %s to %s", k.o.Of, c.Leaf.NotBefore.Format(time.RFC3339), c.Leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Ensure makes one pass. Afterwards there is a certificate, the carriers have its bundle, and it is served.
func (k *Keeper) Ensure(ctx context.Context) error {
	k.passing.Lock()
	defer k.passing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := k.o.Clock.Now()
	var err error
	for range maxRounds {
		var again bool
		again, err = k.round(ctx)
		switch {
		case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err):
			continue // another writer was first
		case err != nil:
			return err
		case !again:
			k.passed.Store(&began)
			return k.ensureClient(ctx)
		}
	}
	if err == nil {
		err = errors.New("somebody else changes it all the time")
	}
	return fmt.Errorf("looking after the %s's certificate: %w", k.o.Of, err)
}

// round takes one step, and reports whether another round is needed.
// It reads the carriers before the Secret; see the package comment.
func (k *Keeper) round(ctx context.Context) (bool, error) {
	carriers, err := k.carriers(ctx)
	if err != nil {
		return false, err
	}
	var secret corev1.Secret
	if err := k.o.Client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: k.o.Secret}, &secret); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading Secret %s/%s: %w", k.o.Namespace, k.o.Secret, err)
	}
	now := k.o.Clock.Now()
	read := decode(&secret)
	s := read.observe(carried(carriers), now)
	if !read.since.IsZero() && s.since.IsZero() {
		// Either another writer has changed a carrier, or a replica has completed a step between the two reads.
		if same, err := k.unchanged(ctx, carriers); err != nil || !same {
			return true, err
		}
	}
	s, step, err := plan(s, k.names, now)
	if err != nil {
		return false, err
	}
	wrote, err := k.write(ctx, &secret, s)
	if err != nil {
		return false, err
	}
	if step != stepNone {
		k.o.Log.Info(string(step), "authorities", len(s.bundle), "notAfter", s.leaf.Leaf.NotAfter)
	}
	injected, err := k.inject(ctx, carriers, encodeBundle(s.bundle))
	if err != nil {
		return false, err
	}
	k.serving.Store(s.pick(k.serving.Load(), k.names, now))
	k.learn(s)
	return wrote || injected, nil
}

// write stores the state if it differs from the stored state, and only if the Secret is unchanged since it was read.
func (k *Keeper) write(ctx context.Context, secret *corev1.Secret, s state) (bool, error) {
	before := secret.DeepCopy()
	if err := s.encode(secret); err != nil {
		return false, err
	}
	if equality.Semantic.DeepEqual(before.Data, secret.Data) && equality.Semantic.DeepEqual(before.Annotations, secret.Annotations) {
		return false, nil
	}
	if secret.ResourceVersion != "" {
		if err := k.o.Client.Update(ctx, secret); err != nil {
			return false, fmt.Errorf("writing Secret %s/%s: %w", k.o.Namespace, k.o.Secret, err)
		}
		return true, nil
	}
	secret.Type = corev1.SecretTypeTLS
	secret.ObjectMeta = metav1.ObjectMeta{
		Namespace: k.o.Namespace, Name: k.o.Secret, Annotations: secret.Annotations, Labels: ownLabels(),
	}
	if err := k.o.Client.Create(ctx, secret); err != nil {
		return false, fmt.Errorf("creating Secret %s/%s: %w", k.o.Namespace, k.o.Secret, err)
	}
	return true, nil
}

// ownLabels returns the labels of the objects that a Keeper creates.
func ownLabels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "nfo", "app.kubernetes.io/managed-by": "nfo"}
}
