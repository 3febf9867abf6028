package publish

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/registry"
)

// at turns the store of a cluster into one of another registry.
func at(url, secret string) func(*v1alpha1.ArtifactStore) {
	return func(s *v1alpha1.ArtifactStore) {
		s.Spec.Registry, s.Status.URL, s.Status.CABundle = v1alpha1.RegistrySpec{URL: url}, "", nil
		if secret != "" {
			s.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: secret}
		}
	}
}

// Nothing is published to a store that is inert, or whose Secret cannot be used.
func TestTargetsThatAreNotFound(t *testing.T) {
	plugintest.Homeless(t)
	not := func(reason, message string) func(*v1alpha1.ArtifactStore) {
		return func(s *v1alpha1.ArtifactStore) {
			s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message}}
		}
	}
	for name, tc := range map[string]struct {
		reason, manifest string
		flags            publishFlags
		edit             func(*v1alpha1.ArtifactStore)
		says             string
	}{
		"NoManifest": {"it does not exist", "none", publishFlags{}, nil, "reading the manifest"},
		"Conflict":   {"another store is in its path", "m", publishFlags{}, not(v1alpha1.ReasonPathConflict, "p/other"), "another store is in its path: delete one of the two (p/other)"},
		"NoSecret":   {"the store names none", "m", publishFlags{storeCredentials: true}, at("https://r.example.com/acme", ""), "store acme names no Secret: leave out --use-store-credentials"},
		"GoneSecret": {"or one that does not exist", "m", publishFlags{storeCredentials: true}, at("https://r.example.com/acme", "none"), "reading the Secret of store acme"},
		"BadSecret":  {"or one without a login", "m", publishFlags{storeCredentials: true}, at("https://r.example.com/acme", "empty"), "what store acme says of its registry"},
		"Clear":      {"its login would go in clear", "m", publishFlags{storeCredentials: true}, at("http://r.example.com/acme", "push"), "--plain-http r.example.com sends it"},
		"BadURL":     {"its URL is not one", "m", publishFlags{}, at("ftp://r.example.com", ""), "what store acme says of its registry"},
	} {
		t.Run(name, func(t *testing.T) {
			edit := tc.edit
			if edit == nil {
				edit = func(*v1alpha1.ArtifactStore) {}
			}
			c := withSecrets(t, plugintest.NewCluster(t, edit))
			found, err := tc.flags.find(t.Context(), c.API, client.ObjectKey{Namespace: "p", Name: tc.manifest})
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, %v, want %q", tc.reason, found, err, tc.says)
			}
		})
	}
}

// withSecrets adds a Secret with a login for r.example.com over plain HTTP, and an empty one.
func withSecrets(t *testing.T, c *plugintest.Cluster) *plugintest.Cluster {
	t.Helper()
	push := &corev1.Secret{ObjectMeta: plugintest.Meta("push"), Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		corev1.DockerConfigJsonKey: []byte(`{"auths": {"http://r.example.com": {"username": "me", "password": "correct-horse"}, "https://s.example.com": {"username": "me", "password": "correct-horse"}}}`),
	}}
	empty := &corev1.Secret{ObjectMeta: plugintest.Meta("empty"), Type: corev1.SecretTypeBasicAuth}
	if err := errors.Join(c.API.Create(t.Context(), push), c.API.Create(t.Context(), empty)); err != nil {
		t.Fatal(err)
	}
	return c
}

// The Secret of a store is used with --use-store-credentials, and the user's own login without.
func TestTargetWithTheLoginOfItsSecret(t *testing.T) {
	plugintest.Homeless(t)
	for _, use := range []bool{true, false} {
		c := withSecrets(t, plugintest.NewCluster(t, at("https://s.example.com/acme", "push")))
		f := publishFlags{storeCredentials: use}
		found, err := f.find(t.Context(), c.API, client.ObjectKey{Namespace: "p", Name: "m"})
		if err != nil {
			t.Fatal(err)
		}
		defer found.client.Close()
		want := registry.Credential{}
		if use {
			want = registry.Credential{Username: "me", Password: "correct-horse"}
		}
		if found.config.Credential != want || (found.config.Transport != nil) != use {
			t.Errorf("with --use-store-credentials=%t a login is set: %t, and guarded: %t", use, found.config.Credential == want, found.config.Transport != nil)
		}
		if !strings.Contains(found.denied(), "docker login s.example.com") {
			t.Errorf("what to do is %q", found.denied())
		}
	}
}
