package token_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/plugin/token"
)

func TestParseAccount(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, text string
		want         client.ObjectKey
	}{
		{"of the store's namespace", "ci", client.ObjectKey{Namespace: "acme", Name: "ci"}},
		{"as kubectl writes one of another namespace", "build:ci.v2", client.ObjectKey{Namespace: "build", Name: "ci.v2"}},
		{"no name", "", client.ObjectKey{}},
		{"no name after the namespace", "build:", client.ObjectKey{}},
		{"no namespace", ":ci", client.ObjectKey{}},
		{"a path would be another request", "../ci", client.ObjectKey{}},
		{"a user name", "system:serviceaccount:acme:ci", client.ObjectKey{}},
	} {
		got, err := token.ParseAccount(tc.text, "acme")
		if got != tc.want || (err == nil) != (tc.want != client.ObjectKey{}) {
			t.Errorf("%s: %v, %v, want %v", tc.reason, got, err, tc.want)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, account string
		fails           error
		says            []string
	}{
		"Issued":    {"the account exists", "ci", nil, nil},
		"Missing":   {"what to do is said", "none", nil, []string{"requesting a token of ServiceAccount p/none", "kubectl create serviceaccount none -n p && kubectl create rolebinding none-publishes -n p --clusterrole=nfo-publisher --serviceaccount=p:none"}},
		"Forbidden": {"anyone who may create tokens is the account", "ci", plugintest.Forbidden("serviceaccounts/token"), []string{"is forbidden", "You need the verb create on serviceaccounts/token", "kubectl create role ci-token -n p --verb=create --resource=serviceaccounts/token --resource-name=ci"}},
		"Down":      {"another failure", "ci", errors.New("connection refused"), []string{"connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := plugintest.NewCluster(t)
			c.Fails = func(string) error { return tc.fails }
			got, err := token.Request(t.Context(), c.API, client.ObjectKey{Namespace: "p", Name: tc.account}, 2*time.Hour)
			if tc.says == nil {
				want := token.Token{Secret: "token-of-p:ci", User: "system:serviceaccount:p:ci", Until: plugintest.Until}
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s: %v (-want +got):\n%s", tc.reason, err, diff)
				}
				if r := c.Requests[0]; *r.ExpirationSeconds != 7200 || !cmp.Equal(r.Audiences, []string{"nfo-registry"}) {
					t.Errorf("%d s for %v, want 7200 s for nfo-registry", *r.ExpirationSeconds, r.Audiences)
				}
				return
			}
			for _, says := range tc.says {
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("%s: %v, want %q", tc.reason, err, says)
				}
			}
		})
	}
}

// jwt returns a token that contains claims, such as its expiry.
func jwt(claims string) string {
	return "head." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".signature"
}

func TestOwn(t *testing.T) {
	t.Parallel()
	mine, plain := jwt(`{"exp": 1893553445}`), "plain"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	plugin := &clientcmdapi.ExecConfig{Command: "/bin/sh", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		Args: []string{"-c", `printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"` + mine + `"}}'`}}
	for name, tc := range map[string]struct {
		reason string
		kube   rest.Config
		fails  error
		until  time.Time
		says   string // "" if it is accepted
	}{
		"Token":    {"a token in the kubeconfig", rest.Config{BearerToken: mine}, nil, plugintest.Until, ""},
		"File":     {"a token in a file", rest.Config{BearerTokenFile: file}, nil, plugintest.Until, ""},
		"Plugin":   {"a credential plugin", rest.Config{ExecProvider: plugin}, nil, plugintest.Until, ""},
		"Opaque":   {"a token need not say when it ends", rest.Config{BearerToken: plain}, nil, time.Time{}, ""},
		"Audience": {"most tokens are for the API server only", rest.Config{BearerToken: "other"}, nil, time.Time{}, "does not accept your token for the audience nfo-registry"},
		"Unaware":  {"an authenticator that knows no audiences proves nothing", rest.Config{BearerToken: "unaware"}, nil, time.Time{}, "does not accept your token for the audience nfo-registry"},
		"None":     {"a client certificate is not a token", rest.Config{}, nil, time.Time{}, "your kubeconfig has no bearer token"},
		"Basic":    {"nor is a password", rest.Config{Username: "jane", Password: "correct-horse"}, nil, time.Time{}, "your kubeconfig has no bearer token"},
		"As":       {"the token is another user's", rest.Config{BearerToken: mine, Impersonate: rest.ImpersonationConfig{UserName: "joe"}}, nil, time.Time{}, `--as acts for user "joe"`},
		"NoReview": {"few may review tokens", rest.Config{BearerToken: mine}, plugintest.Forbidden("tokenreviews"), time.Time{}, "because you may not create tokenreviews"},
		"Down":     {"the API server cannot be asked", rest.Config{BearerToken: mine}, errors.New("connection refused"), time.Time{}, "connection refused"},
		"NoPlugin": {"the credential plugin is not installed", rest.Config{ExecProvider: &clientcmdapi.ExecConfig{Command: "nfo-test-none", APIVersion: plugin.APIVersion, InteractiveMode: plugin.InteractiveMode}}, nil, time.Time{}, "nfo-test-none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := plugintest.NewCluster(t)
			c.Users[mine], c.Users[plain], c.Users["unaware"], c.Unaware = "jane", "jane", "jane", []string{"unaware"}
			c.Fails = func(string) error { return tc.fails }
			got, err := token.Own(t.Context(), c.API, &tc.kube)
			if tc.says != "" {
				if !errors.Is(err, token.ErrNotOwn) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), mine) {
					t.Errorf("%s: %v, want ErrNotOwn and %q", tc.reason, err, tc.says)
				}
				return
			}
			if err != nil || got.User != "jane" || !got.Until.Equal(tc.until) || got.Secret != mine && got.Secret != plain {
				t.Errorf("%s: %q until %v, %v, want jane until %v", tc.reason, got.User, got.Until, err, tc.until)
			}
		})
	}
}

func TestRenewed(t *testing.T) {
	t.Parallel()
	asked := 0
	next := token.Renewed(token.Token{Secret: "first"}, func(context.Context) (token.Token, error) {
		if asked++; asked == 2 {
			return token.Token{}, errors.New("down")
		}
		return token.Token{Secret: fmt.Sprint("new ", asked)}, nil
	})
	var got []string
	for range 4 {
		secret, err := next(t.Context())
		got = append(got, fmt.Sprint(secret, " ", err))
	}
	if diff := cmp.Diff([]string{"first <nil>", "new 1 <nil>", " down", "new 3 <nil>"}, got); diff != "" {
		t.Errorf("the first is used once, then new ones (-want +got):\n%s", diff)
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	ready := func(status metav1.ConditionStatus, message string) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Message: message}}
	}
	for name, tc := range map[string]struct {
		reason, address string
		edit            func(*v1alpha1.ArtifactStore)
		want, says      string
	}{
		"Status":  {"where the manager says", "", nil, "https://nfo-registry.nfo-system.svc/p", ""},
		"Forward": {"a port-forward is another address", "127.0.0.1:5000", nil, "https://127.0.0.1:5000/p", ""},
		"Path":    {"an address is not a place", "127.0.0.1:5000/x", nil, "", "has no path"},
		"Pending": {"the manager comes to it", "", func(s *v1alpha1.ArtifactStore) { s.Status.URL = "" }, "", "the manager has not checked it yet"},
		"Disabled": {"the manager says how to enable it", "", func(s *v1alpha1.ArtifactStore) {
			s.Status = v1alpha1.ArtifactStoreStatus{Conditions: ready(metav1.ConditionFalse, "set registry.enabled")}
		}, "", "artifactstores/p/acme has no status.url: set registry.enabled"},
		"URL": {"docker can log in there", "", func(s *v1alpha1.ArtifactStore) {
			s.Spec.Registry = v1alpha1.RegistrySpec{URL: "https://r.example.com/acme"}
		}, "", "is at https://r.example.com/acme, not in the cluster's own registry: log in with 'docker login'"},
	} {
		s := &v1alpha1.ArtifactStore{ObjectMeta: plugintest.Meta("acme")}
		s.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{}
		s.Status = v1alpha1.ArtifactStoreStatus{URL: "https://nfo-registry.nfo-system.svc/p", CABundle: []byte("ca")}
		if tc.edit != nil {
			tc.edit(s)
		}
		got, err := token.Registry(s, tc.address)
		switch {
		case tc.says != "":
			if err == nil || !strings.Contains(err.Error(), tc.says) || errors.Is(err, token.ErrElsewhere) != (name == "URL") {
				t.Errorf("%s: %s: %v, want %q", name, tc.reason, err, tc.says)
			}
		case err != nil || got.Location.String() != tc.want || string(got.CABundle) != "ca":
			t.Errorf("%s: %s: %s with %q, %v, want %s", name, tc.reason, got.Location, got.CABundle, err, tc.want)
		}
	}
}

func TestTokensAreNotPrinted(t *testing.T) {
	t.Parallel()
	if text := fmt.Sprintf("%v %+v %#v %s", token.Token{Secret: "correct-horse"}, token.Token{Secret: "correct-horse"}, token.Token{Secret: "correct-horse"}, token.Token{Secret: "correct-horse"}); strings.Contains(text, "correct-horse") {
		t.Error(text)
	}
}
