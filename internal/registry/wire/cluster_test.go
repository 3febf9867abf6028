package wire_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// This test finds a client that keeps an expired token although the kubelet has written a new one.
func TestTheTokenIsReadAgain(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t, registrytest.BasicAuth("nfo", password))
	file := filepath.Join(t.TempDir(), "token")
	c := open(t, registry.Config{Location: r.Location(""), TokenFile: file})
	const old = "the-token-of-an-hour-ago"
	for _, row := range []struct {
		reason, text string
		want         error
	}{
		{"the volume is not mounted", "", registry.ErrCredentials},
		{"the file is being written", " \n", registry.ErrCredentials},
		{"a token that the registry no longer takes", old, registry.ErrDenied},
		{"nobody writes such a token", strings.Repeat("x", 16<<10+1), registry.ErrCredentials},
		{"the new one counts without another client", password + "\n", nil},
	} {
		if row.text != "" {
			writeFile(t, file, row.text)
		}
		err := c.Ping(t.Context())
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.reason, err, row.want)
		}
		if err != nil && strings.Contains(err.Error(), old) {
			t.Errorf("%s: the error repeats the token: %v", row.reason, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	writeFile(t, ca, "certificates")
	rows := map[string]struct {
		reason  string
		cluster registry.ClusterRegistry
		spec    v1alpha1.RegistrySpec
		url, ca string
		want    error
	}{
		"URL":      {"a store elsewhere is where it says", registry.ClusterRegistry{Address: "registry:5000", CAFile: ca}, v1alpha1.RegistrySpec{URL: "https://R.example.com:443/acme/"}, "https://r.example.com/acme", "", nil},
		"Cluster":  {"address and prefix", registry.ClusterRegistry{Address: "registry.nfo-system.svc:5000", CAFile: ca}, v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{}}, "https://registry.nfo-system.svc:5000/publisher", "certificates", nil},
		"HTTP":     {"tests have no TLS", registry.ClusterRegistry{Address: "http://127.0.0.1:5000"}, v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: "a/b"}}, "http://127.0.0.1:5000/a/b", "", nil},
		"Disabled": {"no registry", registry.ClusterRegistry{}, v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{}}, "", "", registry.ErrNoClusterRegistry},
		"Wrong":    {"the manager checks its flag, and so does this", registry.ClusterRegistry{Address: "https://r.example.com/path"}, v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{}}, "", "", registry.ErrConfig},
		"NoCA":     {"what was known stays until the file is back", registry.ClusterRegistry{Address: "registry:5000", CAFile: ca + ".missing"}, v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{}}, "before", "before", registry.ErrUnavailable},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &v1alpha1.ArtifactStore{Spec: v1alpha1.ArtifactStoreSpec{Registry: row.spec}}
			s.Namespace, s.Status.URL, s.Status.CABundle = "publisher", "before", []byte("before")
			if err := row.cluster.Describe(s); !errors.Is(err, row.want) {
				t.Errorf("%s: %v, want %v", row.reason, err, row.want)
			}
			if s.Status.URL != row.url || string(s.Status.CABundle) != row.ca {
				t.Errorf("%s: the status says %q, %q", row.reason, s.Status.URL, s.Status.CABundle)
			}
		})
	}
}

// This test finds a client that does not ask for a new token when its token expires during a long push.
func TestTheTokenIsAskedForAgain(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t, registrytest.BasicAuth("nfo", password))
	const old = "the-token-of-an-hour-ago"
	token, fails := "", errors.New("the API server is down")
	c := open(t, registry.Config{Location: r.Location(""), Token: func(context.Context) (string, error) { return token, fails }})
	for _, row := range []struct {
		reason, token string
		fails, want   error
	}{
		{"the API server cannot be asked", "", fails, registry.ErrCredentials},
		{"a token that the registry no longer takes", old, nil, registry.ErrDenied},
		{"a new one counts without another client", password, nil, nil},
		{"while it counts, no other is asked for", "", fails, nil},
	} {
		token, fails = row.token, row.fails
		err := c.Ping(t.Context())
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.reason, err, row.want)
		}
		if err != nil && (strings.Contains(err.Error(), old) || row.fails != nil && !errors.Is(err, row.fails)) {
			t.Errorf("%s: the error repeats the token, or does not say why: %v", row.reason, err)
		}
	}
}
