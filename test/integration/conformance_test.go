package integration

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/test/environment"
)

// The conformance tests of the distribution specification pass for
// the registry that nfo ships, over TLS and with a Kubernetes token.
//
// They leave out two kinds of content that distribution, on which the registry is built, does not accept:
// blobs and manifests that are pushed by a SHA-512 digest, and non-distributable layers that are missing.
func TestOCIConformance(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	v, err := volume.Open(t.TempDir(), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := serve.New(t.Context(), serve.Options{Volume: v, Access: newAccess(t)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(r.Handler())
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	token, err := os.ReadFile(s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program, ca := filepath.Join(dir, "conformance"), filepath.Join(dir, "ca.crt")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join(environment.Root(), "test", "conformance"), "-o", program, "github.com/opencontainers/distribution-spec/conformance")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		reason, password string
		passes           bool
	}{{"the manager's token", string(token), true}, {"no token of this cluster", "password", false}} {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+ca, "OCI_LOG=error", "OCI_RESULTS_DIR="+dir,
			"OCI_REGISTRY="+server.Listener.Addr().String(), "OCI_USERNAME=kubernetes", "OCI_PASSWORD="+row.password,
			"OCI_DATA_SHA512=false", "OCI_DATA_NONDISTRIBUTABLE=false")
		out, err := cmd.CombinedOutput()
		if _, summary, ok := strings.Cut(string(out), "API conformance:"); !ok || (err == nil) != row.passes {
			t.Errorf("with %s: %v\n%s", row.reason, err, summary+string(out[:min(len(out), 2000)]))
		}
	}
}

// newAccess returns an access controller that asks the API server of the tests. The manager may do everything.
func newAccess(t *testing.T) *access.Controller {
	t.Helper()
	objects, err := cache.New(env.Admin, cache.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	if err := access.Index(ctx, objects); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- objects.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return access.New(access.Options{Reviews: env.Client, Objects: objects, Operators: []string{environment.ManagerUser}})
}
