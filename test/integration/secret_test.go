package integration

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

const (
	user = "publisher"
	// Passwords that can be found wherever they leak, and that need escaping in URLs and JSON.
	password = "right/Horse+battery=staple"
	mistaken = "wrong/Horse+battery=staple"
)

func login(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

func (s *scene) secret(kind corev1.SecretType, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: s.meta("push"), Type: kind, StringData: data}
}

func (s *scene) dockerConfig(auths any) *corev1.Secret {
	s.t.Helper()
	raw, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.secret(corev1.SecretTypeDockerConfigJson, map[string]string{corev1.DockerConfigJsonKey: string(raw)})
}

func (s *scene) basicAuth(password string) *corev1.Secret {
	return s.secret(corev1.SecretTypeBasicAuth, map[string]string{corev1.BasicAuthUsernameKey: user, corev1.BasicAuthPasswordKey: password})
}

// transcript collects the log of a manager.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

func (l *transcript) write(prefix, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, prefix+" "+line)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// overheard is like manage, but collects the manager's log, at every level.
func (s *scene) overheard() *transcript {
	s.t.Helper()
	l := &transcript{}
	base := ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0"}
	base.Logger = funcr.New(l.write, funcr.Options{Verbosity: 100})
	base.Controller = config.Controller{SkipNameValidation: new(true)}
	base.Cache.DefaultNamespaces = map[string]cache.Config{s.ns: {}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	mgr, err := controller.NewManager(ctx, env.Judged(environment.ManagerUser), base, controller.Options{PollsPerSecond: 100, Purger: cronjob.Settings{AllowLoopback: true}})
	if err != nil {
		cancel()
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	return l
}

// reported returns everything in the scene's objects and events, as JSON.
func (s *scene) reported() string {
	s.t.Helper()
	var all strings.Builder
	for _, l := range []client.ObjectList{&v1alpha1.ArtifactStoreList{}, &v1alpha1.ArtifactManifestList{}, &v1alpha1.TombstoneList{}, &eventsv1.EventList{}} {
		if err := env.Client.List(s.t.Context(), l, client.InNamespace(s.ns)); err != nil {
			s.t.Fatal(err)
		}
		if err := json.NewEncoder(&all).Encode(l); err != nil {
			s.t.Fatal(err)
		}
	}
	return all.String()
}

func TestCredentialsThatDoNotWork(t *testing.T) {
	t.Parallel()
	basic, bearer := registrytest.BasicAuth(user, password), registrytest.BearerAuth(user, password)
	for name, c := range map[string]struct {
		reason string
		auth   registrytest.Option
		secret func(*scene) *corev1.Secret // nil: no Secret
		want   string
		says   []string
	}{
		"NotFound": {
			reason: "a Secret may come after its store",
			want:   v1alpha1.ReasonSecretNotFound, says: []string{"/push", "create it, or change the reference"},
		},
		"WrongType": {
			reason: "only two types say where the password is",
			secret: func(s *scene) *corev1.Secret {
				return s.secret(corev1.SecretTypeOpaque, map[string]string{"username": user, "password": mistaken})
			},
			want: v1alpha1.ReasonSecretInvalid, says: []string{"/push", `"Opaque"`, "kubernetes.io/dockerconfigjson or kubernetes.io/basic-auth"},
		},
		"NoUser": {
			reason: "half a login would only be refused",
			secret: func(s *scene) *corev1.Secret {
				return s.secret(corev1.SecretTypeBasicAuth, map[string]string{"password": mistaken})
			},
			want: v1alpha1.ReasonSecretInvalid, says: []string{"/push", `no key "username"`},
		},
		"OtherRegistry": {
			reason: "a login goes to its registry only",
			secret: func(s *scene) *corev1.Secret {
				return s.dockerConfig(map[string]any{"registry.example.com": map[string]string{"auth": login(user, mistaken)}})
			},
			want: v1alpha1.ReasonSecretInvalid, says: []string{"/push", "no entry for 127.0.0.1"},
		},
		"NotAnObject": {
			reason: "parsers quote what they cannot parse",
			secret: func(s *scene) *corev1.Secret { return s.dockerConfig(mistaken) },
			want:   v1alpha1.ReasonSecretInvalid, says: []string{"/push", "not a docker configuration"},
		},
		"NotBase64": {
			reason: "a password in place of the encoded login is not shown",
			secret: func(s *scene) *corev1.Secret {
				return s.dockerConfig(map[string]any{s.registry.Host: map[string]string{"auth": user + ":" + mistaken}})
			},
			want: v1alpha1.ReasonSecretInvalid, says: []string{"/push", "not base64 of user:password"},
		},
		"WrongPassword": {
			reason: "the registry itself refuses",
			secret: func(s *scene) *corev1.Secret { return s.basicAuth(mistaken) },
			want:   v1alpha1.ReasonDenied, says: []string{"401", "Secret"},
		},
		"WrongPasswordForTokens": {
			reason: "the token server refuses",
			auth:   bearer,
			secret: func(s *scene) *corev1.Secret { return s.basicAuth(mistaken) },
			want:   v1alpha1.ReasonDenied, says: []string{"401", "Secret"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth := basic
			if c.auth != nil {
				auth = c.auth
			}
			s := newGuardedScene(t, auth)
			log := s.overheard()
			store, m := s.store("acme"), s.manifest("m", "a:1")
			store.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "push"}
			s.image("m", "a:1", "one")
			before := s.contents()
			if c.secret != nil {
				s.create(c.secret(s))
			}
			s.create(store, m)
			s.says(store, v1alpha1.ConditionReachable, "False/"+c.want, c.says...)
			s.says(store, v1alpha1.ConditionReady, "False/"+c.want, c.says...)
			s.says(m, v1alpha1.ConditionUploaded, "Unknown/"+c.want, c.says...)
			s.Eventually(func() []string { return s.events("acme") }).Should(gomega.ContainElement("Warning " + c.want + " Connecting"))

			s.delete(s.secret("", nil)) // the type of a Secret cannot be changed
			s.create(s.basicAuth(password))
			s.eventually(store, v1alpha1.ConditionReachable, "True/Reachable")
			s.eventually(store, v1alpha1.ConditionReady, "True/Ready")
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			s.Eventually(func() []string { return s.events("acme") }).Should(gomega.ContainElement("Normal Reachable Connecting"))
			s.Expect(s.contents()).To(gomega.Equal(before), c.reason)
			s.Expect(s.registry.Writes()).To(gomega.BeZero(), c.reason)

			reported, logged := s.reported(), log.String()
			s.Expect(logged).NotTo(gomega.BeEmpty())
			for _, secret := range []string{password, mistaken, login(user, password), login(user, mistaken), url.QueryEscape(password), url.QueryEscape(mistaken)} {
				s.Expect(reported).NotTo(gomega.ContainSubstring(secret), "an object or event holds a secret")
				s.Expect(logged).NotTo(gomega.ContainSubstring(secret), "the log holds a secret")
			}
		})
	}
}

func TestSecretThatGoesBeforeTheManifest(t *testing.T) {
	t.Parallel()
	s := newGuardedScene(t, registrytest.BasicAuth(user, password))
	s.SetDefaultEventuallyTimeout(recheck)
	s.manage()
	store, m := s.store("acme"), s.manifest("m", "a:1")
	store.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "push"}
	d := s.image("m", "a:1", "one").Digest.String()
	s.create(s.basicAuth(password), store, m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(s.basicAuth(""))
	s.delete(m)
	s.says(m, v1alpha1.ConditionDeletionBlocked, "True/SecretNotFound", "/push", "create it", hopeless)
	s.Expect(s.at("acme/m/a", "1")).To(gomega.Equal(d))
	s.create(s.basicAuth(password))
	s.goes(m)
	s.Expect(s.at("acme/m/a", "1")).To(gomega.BeEmpty())
	s.Expect(s.at("acme/m/a", d)).To(gomega.Equal(d))
}

// strangersCA returns a CA certificate that has signed no other certificate.
func strangersCA(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotAfter: time.Now().Add(time.Hour), IsCA: true}
	raw, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

func TestCertificateThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		bundle func(*testing.T) []byte
		want   string
		says   string
	}{
		"None": {
			reason: "the system's certificates do not know a registry of one's own",
			want:   v1alpha1.ReasonUnavailable, says: "certificate",
		},
		"Other": {
			reason: "the bundle replaces the system's certificates and is of another registry",
			bundle: strangersCA,
			want:   v1alpha1.ReasonUnavailable, says: "certificate",
		},
		"NoPEM": {
			reason: "a bundle without a certificate is not a place to look for a wrong URL",
			bundle: func(*testing.T) []byte { return []byte("none") },
			want:   v1alpha1.ReasonInvalidCABundle, says: "no PEM certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newGuardedScene(t, registrytest.TLS())
			s.manage()
			store, m := s.store("acme"), s.manifest("m", "a:1")
			if c.bundle != nil {
				store.Spec.Registry.CABundle = c.bundle(t)
			}
			s.image("m", "a:1", "one")
			before := s.contents()
			s.create(store, m)
			s.says(store, v1alpha1.ConditionReachable, "False/"+c.want, c.says, "caBundle")
			s.says(m, v1alpha1.ConditionUploaded, "Unknown/"+c.want, c.says, "caBundle")
			change(s, store, func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.CABundle = s.registry.CA })
			s.eventually(store, v1alpha1.ConditionReachable, "True/Reachable")
			s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
			s.Expect(s.contents()).To(gomega.Equal(before), c.reason)
			s.Expect(s.registry.Writes()).To(gomega.BeZero(), c.reason)
		})
	}
}
