package credential_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

// This test finds a way to print a credential that shows its fields.
func TestACredentialIsNotPrinted(t *testing.T) {
	t.Parallel()
	c := credential.OfToken(password)
	text, err := json.Marshal(map[string]any{"login": c})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%q", c), string(text)} {
		if strings.Contains(got, password) || !strings.Contains(got, "[redacted]") {
			t.Errorf("it is written %q", got)
		}
	}
	if got := c.Oras(); got.Password != password || got.Username == "" {
		t.Error("the registry is not sent the token")
	}
}

func TestAllFromSecret(t *testing.T) {
	t.Parallel()
	at := v1alpha1.RegistryLocation{Host: "r.io", Prefix: "acme"}
	entry := func(user string) string { return `{"username": "` + user + `", "password": "` + password + `"}` }
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`"r.io%s": %s`, strings.Repeat("/acme", i), entry(fmt.Sprint(i))))
	}
	for name, tc := range map[string]struct {
		reason string
		kind   corev1.SecretType
		data   map[string]string
		want   []string // users
		says   string
	}{
		"Paths":   {"that of the longest path first", corev1.SecretTypeDockerConfigJson, map[string]string{".dockerconfigjson": `{"auths": {"r.io": ` + entry("whole") + `, "r.io/acme": ` + entry("acme") + `, "other.io": ` + entry("other") + `}}`}, []string{"acme", "whole"}, ""},
		"None":    {"none fits, which is not an error", corev1.SecretTypeDockerConfigJson, map[string]string{".dockerconfigjson": `{"auths": {"other.io": ` + entry("other") + `}}`}, nil, ""},
		"Damaged": {"one that cannot be used stops no other", corev1.SecretTypeDockerConfigJson, map[string]string{".dockerconfigjson": `{"auths": {"r.io/acme": {"auth": "%"}, "r.io": ` + entry("whole") + `}}`}, []string{"whole"}, ""},
		"Many":    {"no Secret has so many that fit", corev1.SecretTypeDockerConfigJson, map[string]string{".dockerconfigjson": `{"auths": {` + strings.Join(many, ",") + `}}`}, []string{"1", "0"}, ""},
		"Basic":   {"a user and a password", corev1.SecretTypeBasicAuth, map[string]string{"username": "one", "password": password}, []string{"one"}, ""},
		"Half":    {"a password without a user", corev1.SecretTypeBasicAuth, map[string]string{"password": password}, nil, `no key "username"`},
		"NoJSON":  {"what the parser says may repeat the secret", corev1.SecretTypeDockerConfigJson, map[string]string{".dockerconfigjson": password}, nil, "is not a docker configuration in JSON"},
		"Opaque":  {"another type", corev1.SecretTypeOpaque, map[string]string{"username": "one", "password": password}, nil, `its type is "Opaque"`},
	} {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "push"}, Type: tc.kind, Data: map[string][]byte{}}
		for key, value := range tc.data {
			s.Data[key] = []byte(value)
		}
		all, err := credential.AllFromSecret(s, at)
		var users []string
		for _, c := range all {
			users = append(users, c.Username)
		}
		if diff := cmp.Diff(tc.want, users); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", name, tc.reason, diff)
		}
		if (err != nil) != (tc.says != "") || err != nil && (!errors.Is(err, registry.ErrCredentials) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), password)) {
			t.Errorf("%s: %s: %v, want one that says %q", name, tc.reason, err, tc.says)
		}
	}
}
