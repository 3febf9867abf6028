package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/internal/certificate"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/clusterregistry/incluster"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// pairOf returns the certificate in a Secret.
func pairOf(t *testing.T, c client.Client, name string) tls.Certificate {
	t.Helper()
	var s corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "operators", Name: name}, &s); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// agentsOf starts a registry with one image. The registry recognises agents by the certificate of a keeper.
func agentsOf(t *testing.T, keeper *certificate.Keeper) *httptest.Server {
	t.Helper()
	if err := keeper.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().Build() // an API server without tokens and stores
	v, err := volume.Open(t.TempDir(), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	handler := func(a *access.Controller) http.Handler {
		r, err := serve.New(t.Context(), serve.Options{Volume: v, Access: a})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return r.Handler()
	}
	open := httptest.NewServer(handler(nil))
	defer open.Close()
	if _, err := registrytest.PushImage(t.Context(), open.Listener.Addr().String(), "mirror.nfo.dev/r.example/upf", "1", "a"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler(access.New(access.Options{Reviews: c, Objects: c})))
	server.TLS = tlsConfig(keeper.GetCertificate)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	trustAgents(server.TLS, keeper)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// R4: an agent can pull everything with its certificate, and do nothing else. No
// other certificate is accepted as an agent's, not even that of the registry itself.
func TestAgentIsKnownByItsCertificate(t *testing.T) {
	t.Parallel()
	for name, keeperOf := range map[string]func(client.Client) *certificate.Keeper{
		"OwnCertificate": func(c client.Client) *certificate.Keeper {
			return incluster.Keeper(c, "operators", nil, true, logr.Discard())
		},
		"ForeignCertificate": func(c client.Client) *certificate.Keeper {
			return incluster.AgentKeeper(c, "operators", logr.Discard())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, elsewhere := fake.NewClientBuilder().Build(), fake.NewClientBuilder().Build()
			server := agentsOf(t, keeperOf(c))
			if err := keeperOf(elsewhere).Ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
			foreign := pairOf(t, elsewhere, "nfo-agent-certificate")
			own, agents := pairOf(t, c, "nfo-registry-certificate"), pairOf(t, c, "nfo-agent-certificate")
			for _, tt := range []struct {
				reason, method, path string
				with                 *tls.Certificate
				want                 int // 0: the connection is refused
			}{
				{"an agent pulls", http.MethodGet, "manifests/1", &agents, 200},
				{"nobody pulls", http.MethodGet, "manifests/1", nil, 401},
				{"an agent pushes", http.MethodPost, "blobs/uploads/", &agents, 401},
				{"an agent deletes", http.MethodDelete, "manifests/1", &agents, 401},
				{"the registry itself", http.MethodGet, "manifests/1", &own, 0},
				{"the agent of another cluster", http.MethodGet, "manifests/1", &foreign, 0},
			} {
				t.Run(tt.reason, func(t *testing.T) {
					if got := asked(t, server, tt.method, tt.path, tt.with); got != tt.want {
						t.Errorf("%d, want %d", got, tt.want)
					}
				})
			}
		})
	}
}

// asked returns the status of an answer, or 0 if the connection is refused.
func asked(t *testing.T, server *httptest.Server, method, path string, with *tls.Certificate) int {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost", InsecureSkipVerify: true} //nolint:gosec // it is not what is tested
	if with != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return with, nil }
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/v2/mirror.nfo.dev/r.example/upf/"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
