package purge

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/registry"
)

func TestMountedSecret(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		files  map[string]string
		want   corev1.SecretType // "" for none
	}{
		"Basic":   {"a user and a password", map[string]string{"username": "nfo", "password": "secret"}, corev1.SecretTypeBasicAuth},
		"Docker":  {"a docker login", map[string]string{".dockerconfigjson": "{}"}, corev1.SecretTypeDockerConfigJson},
		"Both":    {"a docker login beside what it was made from", map[string]string{".dockerconfigjson": "{}", "username": "nfo"}, corev1.SecretTypeDockerConfigJson},
		"Missing": {"an optional volume of a Secret that does not exist is empty", nil, ""},
		"Other":   {"no keys of a login", map[string]string{"token": "secret"}, ""},
		"Large":   {"more than a Secret can have", map[string]string{"password": strings.Repeat("x", corev1.MaxSecretSize+1)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for key, value := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, key), []byte(value), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			secret, err := MountedSecret(dir)(t.Context(), client.ObjectKey{Namespace: "ns", Name: "push"})
			if tc.want == "" {
				if err == nil || !strings.Contains(err.Error(), "Secret ns/push") || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: the error is %v", tc.reason, err)
				}
				if name != "Large" && !errors.Is(err, registry.ErrCredentials) {
					t.Errorf("%s: %v is not for the user to mend", tc.reason, err)
				}
				return
			}
			if err != nil || secret.Type != tc.want {
				t.Fatalf("%s: %v, %v", tc.reason, secret, err)
			}
			read := map[string]string{}
			for key, value := range secret.Data {
				read[key] = string(value)
			}
			if !maps.Equal(read, tc.files) {
				t.Errorf("%s: the keys are %v", tc.reason, secret.Data)
			}
		})
	}
}
