package login

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

// login runs the command in a cluster and returns its output.
func login(t *testing.T, c *plugintest.Cluster, f loginFlags, kube rest.Config) (out string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	f.streams = genericiooptions.IOStreams{Out: &o, ErrOut: &e}
	f.duration = time.Hour
	err = f.logIn(t.Context(), c.API, &kube, client.ObjectKey{Namespace: "p", Name: "acme"})
	return o.String(), err
}

// may returns the registry's answer to the login that docker and podman would send.
func may(t *testing.T, c *plugintest.Cluster, repository string) error {
	t.Helper()
	found, err := credential.OfUser(t.Context(), c.Registry.Host)
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(registry.Config{Location: c.Registry.Location("p"), CABundle: c.Registry.CA, Credential: found})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = r.Resolve(t.Context(), repository, "1")
	return err
}

// With the stored login, the registry must grant the rights of the account, or of the user.
func TestLogin(t *testing.T) {
	const mine = "my-own-token"
	for name, tc := range map[string]struct {
		reason string
		flags  loginFlags
		kube   rest.Config
		file   string
		answer error
		says   []string
	}{
		"Docker":   {"an account that may push", loginFlags{to: toDocker, account: "ci"}, rest.Config{}, "docker/config.json", registry.ErrNotFound, []string{" as system:serviceaccount:p:ci until 2030-01-02T03:04:05Z. The login is in ", "docker/config.json.\ndocker must trust", "/etc/docker/certs.d/", "--ca-file FILE"}},
		"Podman":   {"podman reads another file", loginFlags{to: toPodman, account: "p:ci"}, rest.Config{}, "run/containers/auth.json", registry.ErrNotFound, []string{"run/containers/auth.json.\npodman must trust", "--cert-dir"}},
		"NoRight":  {"the registry decides what an account may do", loginFlags{to: toDocker, account: "nobody"}, rest.Config{}, "docker/config.json", registry.ErrDenied, []string{"as system:serviceaccount:p:nobody"}},
		"Yourself": {"a token that the API server accepts for the registry", loginFlags{to: toDocker}, rest.Config{BearerToken: mine}, "docker/config.json", registry.ErrNotFound, []string{" as jane until your own token ends"}},
	} {
		t.Run(name, func(t *testing.T) {
			home := plugintest.Homeless(t)
			c := plugintest.NewCluster(t)
			c.Users[mine], c.Pushers = "jane", append(c.Pushers, "jane")
			out, err := login(t, c, tc.flags, tc.kube)
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			for _, says := range append(tc.says, "Logged in to "+c.Registry.Host) {
				if !strings.Contains(out, says) {
					t.Errorf("%s: %s, want %q", tc.reason, out, says)
				}
			}
			if strings.Contains(out, "token-of-") || strings.Contains(out, mine) {
				t.Errorf("the token is printed: %s", out)
			}
			if _, err := os.Stat(filepath.Join(home, tc.file)); err != nil {
				t.Errorf("%s: %v", tc.reason, err)
			}
			if err := may(t, c, "p/m/upf"); !errors.Is(err, tc.answer) {
				t.Errorf("%s: the registry answers %v, want %v", tc.reason, err, tc.answer)
			}
		})
	}
}

func TestLoginPrints(t *testing.T) {
	home := plugintest.Homeless(t)
	c := plugintest.NewCluster(t)
	out, err := login(t, c, loginFlags{to: toPrint, account: "ci"}, rest.Config{})
	if err != nil || out != "token-of-p:ci\n" {
		t.Errorf("%q, %v, want the token and nothing else", out, err)
	}
	if left, err := filepath.Glob(home + "/*/*"); err != nil || len(left) > 0 {
		t.Errorf("a login is stored: %v, %v", left, err)
	}
}

// If other clients reach the registry at another address, the login is stored for that address.
func TestLoginAtAnotherAddress(t *testing.T) {
	plugintest.Homeless(t)
	c := plugintest.NewCluster(t, func(s *v1alpha1.ArtifactStore) { s.Status.URL = "https://nfo-registry.nfo-system.svc/p" })
	if _, err := login(t, c, loginFlags{to: toDocker, account: "ci", address: c.Registry.Host}, rest.Config{}); err != nil {
		t.Fatal(err)
	}
	if err := may(t, c, "p/m/upf"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the registry answers %v, want %v", err, registry.ErrNotFound)
	}
}

func TestLoginFails(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		edit   func(*v1alpha1.ArtifactStore)
		flags  loginFlags
		kube   rest.Config
		says   string
	}{
		"URL": {"docker login is for other registries", func(s *v1alpha1.ArtifactStore) {
			s.Spec.Registry = v1alpha1.RegistrySpec{URL: "https://r.example.com/acme"}
		}, loginFlags{account: "ci"}, rest.Config{}, "log in with 'docker login'"},
		"Pending":   {"no address", func(s *v1alpha1.ArtifactStore) { s.Status.URL = "" }, loginFlags{account: "ci"}, rest.Config{}, "has no status.url"},
		"Clear":     {"docker would send the token unencrypted", func(s *v1alpha1.ArtifactStore) { s.Status.URL = "http://registry.example.com/p" }, loginFlags{account: "ci"}, rest.Config{}, "would be sent unencrypted"},
		"NoAccount": {"the account must exist", nil, loginFlags{account: "none"}, rest.Config{}, "kubectl create serviceaccount none -n p"},
		"NoToken":   {"a client certificate is not a login", nil, loginFlags{}, rest.Config{}, "has no bearer token, only another kind of login such as a client certificate. Log in as a ServiceAccount with --service-account NAME"},
		"Audience":  {"the user's token is for the API server", nil, loginFlags{}, rest.Config{BearerToken: "x"}, "for the audience nfo-registry. Log in as a ServiceAccount"},
		"NoCA":      {"there is nothing to write", func(s *v1alpha1.ArtifactStore) { s.Status.CABundle = nil }, loginFlags{account: "ci", caFile: "ca.crt"}, rest.Config{}, "leave out --ca-file"},
	} {
		t.Run(name, func(t *testing.T) {
			home := plugintest.Homeless(t)
			edit := tc.edit
			if edit == nil {
				edit = func(*v1alpha1.ArtifactStore) {}
			}
			_, err := login(t, plugintest.NewCluster(t, edit), tc.flags, tc.kube)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
			}
			if left, err := filepath.Glob(home + "/*/*"); err != nil || len(left) > 0 {
				t.Errorf("a login is stored: %v, %v", left, err)
			}
		})
	}
}

func TestCAFile(t *testing.T) {
	const certificate = "-----BEGIN CERTIFICATE-----\nnew\n"
	for name, tc := range map[string]struct {
		reason, before string
		says           string
	}{
		"New":   {"its folder is made", "", ""},
		"Older": {"an authority changes", "-----BEGIN CERTIFICATE-----\nold\n", ""},
		"Other": {"a mistyped name costs no file", "precious", "holds something else than certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			plugintest.Homeless(t)
			file := filepath.Join(t.TempDir(), "certs.d", "registry.example.com:5000", "ca.crt")
			if tc.before != "" {
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(tc.before), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			c := plugintest.NewCluster(t, func(s *v1alpha1.ArtifactStore) { s.Status.CABundle = []byte(certificate) })
			out, err := login(t, c, loginFlags{to: toDocker, account: "ci", caFile: file}, rest.Config{})
			text, _ := os.ReadFile(file)
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) || string(text) != tc.before {
					t.Errorf("%s: %v, want %q and the file as it was", tc.reason, err, tc.says)
				}
				return
			}
			if err != nil || string(text) != certificate || !strings.Contains(out, "The certificates to trust are in "+file) {
				t.Errorf("%s: %v, %q in the file, %s", tc.reason, err, text, out)
			}
		})
	}
}

func TestLoginUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, store string
		flags         loginFlags
		says          string
	}{
		{"no name", "", loginFlags{to: toDocker, duration: time.Hour}, "name of an ArtifactStore"},
		{"another client", "acme", loginFlags{to: "helm", duration: time.Hour}, "docker, podman or print"},
		{"the API server gives none that is shorter", "acme", loginFlags{to: toDocker, account: "ci", duration: time.Minute}, "from 10m0s to"},
		{"nor such a long one", "acme", loginFlags{to: toDocker, account: "ci", duration: 9000 * time.Hour}, "from 10m0s to"},
		{"nobody prolongs your own", "acme", loginFlags{to: toDocker, duration: time.Hour, durationSet: true}, "--duration needs --service-account"},
		{"not an account", "acme", loginFlags{to: toDocker, account: "a/b", duration: time.Hour}, "NAME or NAMESPACE:NAME"},
		{"as it should be", "acme", loginFlags{to: toPodman, account: "a:b", duration: time.Hour, durationSet: true}, ""},
	} {
		err := tc.flags.check(tc.store)
		var coded *plugin.Error
		switch {
		case tc.says == "" && err != nil:
			t.Errorf("%s: %v", tc.reason, err)
		case tc.says != "" && (!errors.As(err, &coded) || coded.Code != plugin.ExitUsage || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
		}
	}
}
