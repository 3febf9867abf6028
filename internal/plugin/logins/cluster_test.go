package logins_test

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/plugin/token"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

// TestCluster checks which login is used for the cluster's own
// registry: the account, else the stored login, else the own token.
func TestCluster(t *testing.T) {
	const mine = "my-own-token"
	inClear := func(s *v1alpha1.ArtifactStore) { s.Status.URL = "http://registry.example.com/p" }
	for name, tc := range map[string]struct {
		reason string
		flags  logins.Flags
		bearer string
		stored []string // hosts with a login in docker's file
		edit   func(*v1alpha1.ArtifactStore)
		// password is the login that is used; renewed is set if tokens are requested as needed instead.
		password string
		renewed  bool
		denied   string // the advice after a refusal by the registry
	}{
		"Account":      {reason: "the API server issues a token", flags: logins.Flags{Account: "ci"}, renewed: true, denied: "as ServiceAccount ci of --service-account"},
		"AccountFirst": {reason: "an account that is named goes before what is stored", flags: logins.Flags{Account: "ci", PlainHosts: []string{"registry.example.com"}}, stored: []string{"registry.example.com"}, edit: inClear, renewed: true, denied: "as ServiceAccount ci"},
		"Stored":       {reason: "what 'kubectl nfo login' has stored", flags: logins.Flags{PlainHosts: []string{"registry.example.com"}}, bearer: mine, stored: []string{"registry.example.com"}, edit: inClear, password: "correct-horse", denied: "your stored login for registry.example.com"},
		"Withheld":     {reason: "it would go in inClear", stored: []string{"registry.example.com"}, edit: inClear, denied: "--plain-http registry.example.com sends it"},
		"Yourself":     {reason: "the registry accepts the person's own token", bearer: mine, password: mine, denied: "this is as you, user \"jane\""},
		"Cannot":       {reason: "the token is for the API server alone", bearer: "other", denied: "does not accept your token"},
		"Clear":        {reason: "the person's own token would go in inClear", bearer: mine, edit: inClear, denied: "'kubectl nfo login acme -n p --service-account NAME'"},
	} {
		t.Run(name, func(t *testing.T) {
			plugintest.LoggedIn(t, tc.stored...)
			edit := tc.edit
			if edit == nil {
				edit = func(*v1alpha1.ArtifactStore) {}
			}
			c := plugintest.NewCluster(t, edit)
			c.Users[mine] = "jane"
			got, err := clusterOf(t, c, &tc.flags, tc.bearer)
			if err != nil {
				t.Fatal(err)
			}
			want := registry.Credential{}
			switch tc.password {
			case "":
			case mine:
				want = credential.OfToken(mine)
			default:
				want = registry.Credential{Username: "me", Password: tc.password}
			}
			if got.Config.Credential != want || (got.Config.Token != nil) != tc.renewed || !strings.Contains(got.Denied, tc.denied) {
				t.Errorf("%s: the login is set: %t, tokens are renewed: %t, and %q", tc.reason, got.Config.Credential != registry.Credential{}, got.Config.Token != nil, got.Denied)
			}
			if loggedIn := tc.renewed || tc.password != ""; (got.Config.Transport != nil) != loggedIn {
				t.Errorf("%s: a login is guarded: %t, want %t", tc.reason, got.Config.Transport != nil, loggedIn)
			}
			if !tc.renewed {
				return
			}
			if secret, err := got.Config.Token(t.Context()); err != nil || secret != "token-of-p:ci" {
				t.Errorf("%s: the token is %q, %v", tc.reason, secret, err)
			}
		})
	}
}

func TestClusterCannotBeLoggedInTo(t *testing.T) {
	down := errors.New("connection refused")
	for name, tc := range map[string]struct {
		reason string
		flags  logins.Flags
		edit   func(*v1alpha1.ArtifactStore)
		fails  error
		want   error
		says   string
	}{
		"Elsewhere": {reason: "the store is at another registry", edit: func(s *v1alpha1.ArtifactStore) {
			s.Spec.Registry = v1alpha1.RegistrySpec{URL: "https://r.example.com/acme"}
		}, want: token.ErrElsewhere},
		"Name":    {reason: "a path would be another request", flags: logins.Flags{Account: "../ci"}, says: "../ci"},
		"Clear":   {reason: "a token of an account would go in inClear", flags: logins.Flags{Account: "ci", Address: "http://registry.example.com"}, says: "a token would be sent unencrypted: --plain-http registry.example.com sends it"},
		"Refused": {reason: "the API server issues none", flags: logins.Flags{Account: "ci"}, fails: down, want: down},
	} {
		t.Run(name, func(t *testing.T) {
			plugintest.Homeless(t)
			edit := tc.edit
			if edit == nil {
				edit = func(*v1alpha1.ArtifactStore) {}
			}
			c := plugintest.NewCluster(t, edit)
			c.Fails = func(string) error { return tc.fails }
			_, err := clusterOf(t, c, &tc.flags, "")
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %v that says %q", tc.reason, err, tc.want, tc.says)
			}
		})
	}
}

// clusterOf logs in a user with a bearer token; "" stands for a user who logs in another way.
func clusterOf(t *testing.T, c *plugintest.Cluster, flags *logins.Flags, bearer string) (*logins.Cluster, error) {
	t.Helper()
	server := "https://127.0.0.1:1"
	flags.Config = genericclioptions.NewConfigFlags(false)
	flags.Config.APIServer, flags.Config.BearerToken = &server, &bearer
	store := &v1alpha1.ArtifactStore{}
	if err := c.API.Get(t.Context(), client.ObjectKey{Namespace: "p", Name: "acme"}, store); err != nil {
		t.Fatal(err)
	}
	got, err := flags.Cluster(t.Context(), c.API, store)
	if err == nil && got.Host == "" {
		t.Error("the host of status.url is not known")
	}
	return got, err
}
