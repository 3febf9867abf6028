package publish

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// kubeconfig returns the flags of a user with a bearer token; "" stands for a user who logs in another way.
func kubeconfig(bearer string) *genericclioptions.ConfigFlags {
	flags, server := genericclioptions.NewConfigFlags(false), "https://127.0.0.1:1"
	flags.APIServer, flags.BearerToken = &server, &bearer
	return flags
}

// push pushes the artifact new:1 of the manifest m, and returns the advice that follows a refusal.
func push(t *testing.T, f *publishFlags, c *plugintest.Cluster) (advice string, err error) {
	t.Helper()
	target, err := f.find(t.Context(), c.API, client.ObjectKey{Namespace: "p", Name: "m"})
	if err != nil {
		return "", err
	}
	defer target.client.Close()
	source, err := oci.Pack(t.Context(), "new", oci.Blob{MediaType: "application/vnd.oci.empty.v1+json", Data: []byte("{}")}, []oci.Blob{{MediaType: "text/plain", Data: []byte("new")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	repository := target.repository(v1alpha1.ManifestArtifact{ArtifactName: "new"})
	if _, err = target.client.Resolve(t.Context(), repository, "1"); errors.Is(err, registry.ErrNotFound) {
		if err = target.client.Copy(t.Context(), repository, source, func(int64) {}); err == nil {
			err = target.client.Tag(t.Context(), repository, "1", source, "")
		}
	}
	return target.denied(), err
}

// A push to the cluster's own registry needs no stored login.
func TestPublishToTheClustersRegistry(t *testing.T) {
	const mine = "my-own-token"
	for name, tc := range map[string]struct {
		reason string
		flags  publishFlags
		bearer string
		stored string // the password in docker's file
		want   error
		advice string
	}{
		"Account":      {"the API server issues a token", publishFlags{Flags: logins.Flags{Account: "ci"}}, "", "", nil, ""},
		"AccountFirst": {"an account that is named goes before what is stored", publishFlags{Flags: logins.Flags{Account: "ci"}}, mine, "token-of-p:nobody", nil, ""},
		"NoRight":      {"an account without rights", publishFlags{Flags: logins.Flags{Account: "nobody"}}, "", "", registry.ErrDenied, "as ServiceAccount nobody"},
		"Stored":       {"kubectl nfo login", publishFlags{}, "", "token-of-p:ci", nil, ""},
		"Ended":        {"a login that has ended", publishFlags{}, "", "ended", registry.ErrDenied, "your stored login for 127.0.0.1:"},
		"Yourself":     {"a token for the registry", publishFlags{}, mine, "", nil, ""},
		"Cannot":       {"a token for the API server only", publishFlags{}, "other", "", registry.ErrDenied, "or log in with 'kubectl nfo login acme -n p --service-account NAME' (your own credentials cannot be used at the registry: the API server does not accept your token"},
		"Nobody":       {"a client certificate", publishFlags{}, "", "", registry.ErrDenied, "name an account that may push with --service-account NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			home := plugintest.Homeless(t)
			c := plugintest.NewCluster(t)
			c.Users[mine], c.Pushers = "jane", append(c.Pushers, "jane")
			if tc.stored != "" {
				if _, err := credential.Save(t.Context(), filepath.Join(home, "docker", "config.json"), c.Registry.Host, credential.OfToken(tc.stored)); err != nil {
					t.Fatal(err)
				}
			}
			tc.flags.Config = kubeconfig(tc.bearer)
			advice, err := push(t, &tc.flags, c)
			if !errors.Is(err, tc.want) || !strings.Contains(advice, tc.advice) {
				t.Errorf("%s: %v; %s; want %v and %q", tc.reason, err, advice, tc.want, tc.advice)
			}
			if _, err := os.Stat(filepath.Join(home, "docker", "config.json")); (err == nil) != (tc.stored != "") {
				t.Errorf("%s: a login is stored", tc.reason)
			}
		})
	}
}

// A port-forward reaches the registry at another address, and the registry's certificate must be valid for that address.
func TestPublishThroughAnotherAddress(t *testing.T) {
	plugintest.Homeless(t)
	c := plugintest.NewCluster(t, func(s *v1alpha1.ArtifactStore) { s.Status.URL = "https://nfo-registry.nfo-system.svc/p" })
	_, port, _ := strings.Cut(c.Registry.Host, ":")
	for _, tc := range []struct{ reason, address, says string }{
		{"the certificate is for this address", "127.0.0.1:" + port, ""},
		{"but not for this name of it", "localhost:" + port, "certificate is valid for"},
		{"without TLS the token could be read", "http://registry.example.com", "would be sent unencrypted"},
	} {
		_, err := push(t, &publishFlags{Flags: logins.Flags{Account: "ci", Address: tc.address, Config: kubeconfig("")}}, c)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
		}
	}
}

// A source can be in the cluster's registry too, given by the host in the store's status or by --registry-address.
func TestSourcesInTheClustersRegistry(t *testing.T) {
	plugintest.Homeless(t)
	c := plugintest.NewCluster(t, func(s *v1alpha1.ArtifactStore) { s.Status.URL = "https://nfo-registry.nfo-system.svc/p" })
	f := &publishFlags{Flags: logins.Flags{Account: "ci", Address: c.Registry.Host, Config: kubeconfig("")}}
	target, err := f.find(t.Context(), c.API, client.ObjectKey{Namespace: "p", Name: "m"})
	if err != nil {
		t.Fatal(err)
	}
	defer target.client.Close()
	o := &opener{flags: f, target: target}
	defer o.close()
	for _, host := range []string{"nfo-registry.nfo-system.svc", c.Registry.Host} {
		r, err := o.client(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Resolve(t.Context(), "p/m/new", "1"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v, want %v", host, err, registry.ErrNotFound)
		}
	}
}

func TestPublishAsAccountFails(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		flags  publishFlags
		edit   func(*v1alpha1.ArtifactStore)
		fails  error
		says   string
	}{
		"Elsewhere": {"an account is of no use at another registry", publishFlags{Flags: logins.Flags{Account: "ci"}}, func(s *v1alpha1.ArtifactStore) {
			s.Spec.Registry = v1alpha1.RegistrySpec{URL: "https://r.example.com/acme"}
		}, nil, "not in the cluster's own registry: log in with 'docker login' or 'podman login', and leave out --service-account and --registry-address"},
		"Address": {"nor is another address", publishFlags{Flags: logins.Flags{Address: "127.0.0.1:5000"}}, func(s *v1alpha1.ArtifactStore) {
			s.Spec.Registry = v1alpha1.RegistrySpec{URL: "https://r.example.com/acme"}
		}, nil, "leave out --service-account and --registry-address"},
		"Forbidden": {"a user without the right", publishFlags{Flags: logins.Flags{Account: "ci"}}, nil, plugintest.Forbidden("serviceaccounts/token"), "You need the verb create on serviceaccounts/token"},
		"Secret":    {"such a store has no Secret", publishFlags{storeCredentials: true}, nil, nil, "store acme names no Secret"},
		"Pending":   {"the manager comes to it", publishFlags{Flags: logins.Flags{Account: "ci"}}, func(s *v1alpha1.ArtifactStore) { s.Status.URL = "" }, nil, "has no status.url"},
	} {
		t.Run(name, func(t *testing.T) {
			plugintest.Homeless(t)
			edit := tc.edit
			if edit == nil {
				edit = func(*v1alpha1.ArtifactStore) {}
			}
			c := plugintest.NewCluster(t, edit)
			c.Fails = func(string) error { return tc.fails }
			tc.flags.Config = kubeconfig("")
			if _, err := push(t, &tc.flags, c); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}
