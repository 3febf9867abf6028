package credential_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

const password = "correct-horse"

func TestUserCredential(t *testing.T) {
	auth := func(user string) string {
		return `{"auth": "` + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + `"}`
	}
	const docker, podman, named = "docker/config.json", "run/containers/auth.json", "named.json"
	for name, tc := range map[string]struct {
		reason string
		files  map[string]string
		host   string
		want   string // the user
		says   string
	}{
		"None":     {"nobody has logged in", nil, "r.example.com", "", ""},
		"Docker":   {"docker login", map[string]string{docker: `{"auths": {"r.example.com:5000": ` + auth("d") + `}}`}, "r.example.com:5000", "d", ""},
		"Other":    {"a login is for one host", map[string]string{docker: `{"auths": {"r.example.com": ` + auth("d") + `}}`}, "r.example.com:5000", "", ""},
		"Hub":      {"docker.io's is under a name of old", map[string]string{docker: `{"auths": {"https://index.docker.io/v1/": ` + auth("d") + `}}`}, "docker.io", "d", ""},
		"Podman":   {"podman login", map[string]string{docker: `{}`, podman: `{"auths": {"r.example.com": ` + auth("p") + `}}`}, "r.example.com", "p", ""},
		"Named":    {"the file that is named comes first", map[string]string{named: `{"auths": {"r.example.com": ` + auth("n") + `}}`, docker: `{"auths": {"r.example.com": ` + auth("d") + `}}`}, "r.example.com", "n", ""},
		"Helper":   {"a helper that is not installed", map[string]string{docker: `{"credHelpers": {"r.example.com": "nfo-test-none"}}`}, "r.example.com", "", "docker-credential-nfo-test-none"},
		"NoJSON":   {"a file that is not one", map[string]string{docker: `{"auths": ` + password}, "r.example.com", "", docker + ": unusable credentials: it is not what"},
		"NoAuth":   {"an entry that is not one", map[string]string{docker: `{"auths": {"r.example.com": {"auth": "` + password + `"}}}`}, "r.example.com", "", docker + " for the login of r.example.com: unusable credentials: it is not what"},
		"NoAccess": {"a folder where a file should be", map[string]string{docker + "/x": ""}, "r.example.com", "", "config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("DOCKER_CONFIG", filepath.Join(home, "docker"))
			t.Setenv("XDG_RUNTIME_DIR", filepath.Join(home, "run"))
			t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
			t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(home, named))
			for file, text := range tc.files {
				file = filepath.Join(home, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := credential.OfUser(t.Context(), tc.host)
			registrytest.NoSecret(t, err, registry.Credential{Username: "d", Password: password})
			if tc.says != "" {
				if !errors.Is(err, registry.ErrCredentials) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s: %v, want ErrCredentials and %q", tc.reason, err, tc.says)
				}
				return
			}
			if err != nil || got.Username != tc.want || (got.Password == password) != (tc.want != "") {
				t.Errorf("%s: user %q, %v; want %q", tc.reason, got.Username, err, tc.want)
			}
		})
	}
}
