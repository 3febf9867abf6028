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
	// After a pass that failed the next one comes sooner.
	retryInterval = 5 * time.Second
	// One pass takes as many rounds as there are steps, or others that wrote first.
	maxRounds = 8
	timeout   = 20 * time.Second
	// Who has not read the Secret for so long is not ready.
	maxAge = overlap / 2
)

// Options are what a [Keeper] needs.
type Options struct {
	// Client reads and writes live: no cache.
	Client client.Client
	// Namespace is that of the Secret, the Service and the ConfigMap.
	Namespace, Secret, Service string
	// Names are DNS names and IP addresses that the certificate is for beside the Service's names.
	Names []string
	// Webhooks are the names of ValidatingWebhookConfigurations, and Mutating those of
	// MutatingWebhookConfigurations, each of which gets the bundle. One that is missing calls nobody and
	// is left out.
	Webhooks, Mutating []string
	// ConfigMap is the name of the one whose key ca.crt gets the bundle. It is created if it is missing.
	// "": none.
	ConfigMap string
	// ClientSecret is the name of the Secret that gets a certificate for clients of the server, in tls.crt and tls.key, of
	// the same authorities. It gets no key of an authority, so that nodes may read it. "": none.
	ClientSecret string
	// ClientSubject is who those clients are.
	ClientSubject pkix.Name
	// Of is whose certificate it is, in messages: "webhook" unless given.
	Of    string
	Clock clock.Clock // the usual one if nil
	Log   logr.Logger
}

// Keeper keeps the certificate of one replica. It runs from [Keeper.Start] without being elected.
type Keeper struct {
	o       Options
	names   []string
	passing sync.Mutex
	serving atomic.Pointer[tls.Certificate]
	// passed is when the last pass that did all it should began.
	passed atomic.Pointer[time.Time]
	// authorities are those of the bundle, and learnt is the state after the last round.
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

// NeedLeaderElection is false: every replica serves.
func (k *Keeper) NeedLeaderElection() bool { return false }

// Start makes a pass every 30 s until ctx ends. What fails is logged and tried again.
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

// GetCertificate is for a tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := k.serving.Load(); c != nil {
		return c, nil
	}
	return nil, k.none()
}

func (k *Keeper) none() error { return fmt.Errorf("the %s has no certificate yet", k.o.Of) }

// Ready is a check for readyz: there is a certificate, and clients know that they can trust it.
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

// Ensure makes one pass: afterwards there is a certificate, clients know that they can trust it, and it is
// served.
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
			continue // somebody else wrote first
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

// round takes one step and reports whether there may be another. It reads the carriers
// before the Secret, see the package's comment.
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
		// Either somebody else has changed a carrier, or a replica between the two reads.
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

// write stores the state, if it is not what is stored, and only over what was read.
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

// ownLabels are on the objects that a Keeper creates.
func ownLabels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "nfo", "app.kubernetes.io/managed-by": "nfo"}
}
