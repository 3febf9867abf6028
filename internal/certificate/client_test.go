package certificate

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const clientSecret = "nfo-agent-certificate"

var clientSubject = pkix.Name{CommonName: "nfo-agent", Organization: []string{"nfo.dev"}}

func aClientKeeper(c client.Client, clk *clocktesting.FakeClock) *Keeper {
	return New(Options{
		Client: c, Namespace: namespace, Secret: secretName, Service: "nfo-registry", ConfigMap: "nfo-registry-ca",
		ClientSecret: clientSecret, ClientSubject: clientSubject, Clock: clk, Log: logr.Discard(),
	})
}

// presented returns the certificate that a client presents.
func presented(t *testing.T, c client.Client) *x509.Certificate {
	t.Helper()
	var s corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: clientSecret}, &s); err != nil {
		t.Fatal(err)
	}
	for key := range s.Data {
		if !strings.HasPrefix(key, "tls.") {
			t.Errorf("nodes read %s", key)
		}
	}
	pair := decodePair(s.Data, keyLeaf)
	if pair == nil {
		t.Fatal("no certificate")
	}
	return pair.Leaf
}

// accepts returns an error if a server would refuse the certificate of a client.
func accepts(k *Keeper, c *x509.Certificate, now time.Time) error {
	_, err := c.Verify(x509.VerifyOptions{Roots: k.Authorities(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// Over eleven years and a change of the authority, two replicas must always accept the
// certificate that clients present, even if the clients read it an overlap ago. The certificate
// must never become old, and the certificate of the server must not be accepted from a client.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	empty := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: clientSecret}}
	c, clk := aCluster(empty), clocktesting.NewFakeClock(start)
	replicas := []*Keeper{aClientKeeper(c, clk), aClientKeeper(c, clk)}
	if replicas[0].Authorities() != nil {
		t.Error("it trusts somebody before it has read anything")
	}
	var before *x509.Certificate
	seen, signers := map[string]bool{}, map[string]bool{}
	for i := 0; clk.Now().Before(start.AddDate(11, 0, 0)); i++ {
		for _, k := range replicas {
			ensure(t, k)
		}
		now := clk.Now()
		held := presented(t, c)
		for _, k := range replicas {
			if err := accepts(k, held, now); err != nil {
				t.Fatalf("%s: %v", now, err)
			}
			if before != nil {
				if err := accepts(k, before, now); err != nil && now.Before(before.NotAfter) {
					t.Fatalf("%s: what a client has read a moment ago: %v", now, err)
				}
			}
			server, err := k.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if accepts(k, server.Leaf, now) == nil {
				t.Fatal("the certificate of the server is taken for a client's")
			}
		}
		if held.Subject.String() != clientSubject.String() || held.IsCA {
			t.Fatal(held.Subject)
		}
		seen[held.SerialNumber.String()], signers[held.Issuer.CommonName] = true, true
		before = held
		step := 5 * 24 * time.Hour
		if len(stored(t, c).bundle) > 1 { // while the authority changes
			step = 10 * time.Minute
		}
		clk.Step(step)
	}
	if len(signers) < 2 || len(seen) < 60 {
		t.Errorf("%d certificates of %d authorities", len(seen), len(signers))
	}
}

func TestClientCertificateIsMadeAnew(t *testing.T) {
	t.Parallel()
	c, clk := aCluster(), clocktesting.NewFakeClock(start)
	k := aClientKeeper(c, clk)
	ensure(t, k)
	first := presented(t, c)
	ensure(t, k)
	if !presented(t, c).Equal(first) {
		t.Error("it is made anew for nothing")
	}
	other := aClientKeeper(aCluster(), clk)
	ensure(t, other)
	for reason, damage := range map[string]func(*corev1.Secret){
		"it is gone":           func(s *corev1.Secret) { s.Data = nil },
		"it is damaged":        func(s *corev1.Secret) { s.Data["tls.crt"] = []byte("x") },
		"it is of another one": func(s *corev1.Secret) { _ = other.issueClient(s, start) },
		"it is the server's": func(s *corev1.Secret) {
			var server corev1.Secret
			_ = c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: secretName}, &server)
			s.Data["tls.crt"], s.Data["tls.key"] = server.Data["tls.crt"], server.Data["tls.key"]
		},
	} {
		t.Run(reason, func(t *testing.T) {
			var s corev1.Secret
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: clientSecret}, &s); err != nil {
				t.Fatal(err)
			}
			damage(&s)
			if err := c.Update(t.Context(), &s); err != nil {
				t.Fatal(err)
			}
			ensure(t, k)
			if err := accepts(k, presented(t, c), start); err != nil {
				t.Error(err)
			}
		})
	}
}

// Other clients need the server, so its readiness must not depend on the certificate of these clients.
func TestClientCertificateFails(t *testing.T) {
	t.Parallel()
	secrets := schema.GroupResource{Resource: "secrets"}
	for name, tt := range map[string]struct {
		reason string
		fails  error
		err    bool
	}{
		"Forbidden": {"the right is missing", apierrors.NewForbidden(secrets, clientSecret, errors.New("no such right")), true},
		"Conflict":  {"another replica was first", apierrors.NewConflict(secrets, clientSecret, errors.New("changed")), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := interceptor.NewClient(aCluster(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: clientSecret}}), interceptor.Funcs{
				Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
					if o.GetName() == clientSecret {
						return tt.fails
					}
					return w.Update(ctx, o, opts...)
				},
			})
			k := aClientKeeper(c, clocktesting.NewFakeClock(start))
			if err := k.Ensure(t.Context()); (err != nil) != tt.err || k.Ready(nil) != nil {
				t.Errorf("%s: %v, ready: %v", tt.reason, err, k.Ready(nil))
			}
		})
	}
}
