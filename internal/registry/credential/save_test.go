package credential_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// helper is a credential helper that writes the last login to
// a file, and fails to store a login for refused.example.com.
const helper = `#!/bin/sh
input=$(cat)
case "$1 $input" in
store*refused.example.com*) echo "cannot store $input"; exit 1;;
store*) printf %s "$input" > "$NFO_TEST_HELPER";;
get*) cat "$NFO_TEST_HELPER";;
esac
`

func TestSaveLogin(t *testing.T) {
	const with = `{"HttpHeaders": {"X": "y"}, "auths": {"other.example.com": {"auth": "b3RoZXI6eA==", "email": "a@b"}}, "proxies": {"n": 12345678901234567890}}`
	for name, tc := range map[string]struct {
		reason, before string // "" for no file
		mode           os.FileMode
		host           string
		link           bool
		where, says    string // where "" stands for the file
	}{
		"New":         {"docker makes it so, too", "", 0o600, "r.example.com:5000", false, "", ""},
		"Empty":       {"a file that was only touched", " \n", 0o640, "r.example.com", false, "", ""},
		"Other":       {"what else is in the file is not ours", with, 0o600, "r.example.com", false, "", ""},
		"Mode":        {"a mode that somebody has chosen", with, 0o640, "r.example.com", false, "", ""},
		"Link":        {"files of users often are links to their dot files", with, 0o600, "r.example.com", true, "", ""},
		"Again":       {"the older login for the host ends", `{"auths": {"r.example.com": {"auth": "b2xkOm9sZA=="}}}`, 0o600, "r.example.com", false, "", ""},
		"Helper":      {"a helper for everything", `{"credsStore": "nfo-test"}`, 0o600, "r.example.com", false, "docker-credential-nfo-test", ""},
		"HelperOf":    {"a helper for this host", `{"credHelpers": {"r.example.com": "nfo-test", "s": "nfo-test-none"}}`, 0o600, "r.example.com", false, "docker-credential-nfo-test", ""},
		"HelperElse":  {"a helper for another host", `{"credHelpers": {"s.example.com": "nfo-test"}}`, 0o600, "r.example.com", false, "", ""},
		"HelperOfHub": {"docker writes Docker Hub so", `{"credHelpers": {"https://index.docker.io/v1/": "nfo-test"}}`, 0o600, "docker.io", false, "docker-credential-nfo-test", ""},
		"HelperNoHub": {"no program asks this helper", `{"credHelpers": {"docker.io": "nfo-test"}}`, 0o640, "docker.io", false, "", ""},
		"HelperNone":  {"a helper that is not installed", `{"credsStore": "nfo-test-none"}`, 0o600, "r.example.com", false, "", "docker-credential-nfo-test-none"},
		"HelperFails": {"a helper that repeats the login in its error", `{"credsStore": "nfo-test"}`, 0o600, "refused.example.com", false, "", "docker-credential-nfo-test does not accept it"},
		"NoJSON":      {"a file that is not one is not replaced", `{"auths": `, 0o600, "r.example.com", false, "", "reading "},
		"Large":       {"nobody writes such a file", `{"x": "` + strings.Repeat("x", 4<<20) + `"}`, 0o600, "r.example.com", false, "", "reading "},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			file := filepath.Join(home, "docker", "config.json")
			target := file
			t.Setenv("DOCKER_CONFIG", filepath.Dir(file))
			for _, name := range []string{"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
				t.Setenv(name, home)
			}
			t.Setenv("REGISTRY_AUTH_FILE", "")
			t.Setenv("NFO_TEST_HELPER", filepath.Join(home, "kept"))
			t.Setenv("PATH", home+":"+os.Getenv("PATH"))
			if err := os.WriteFile(filepath.Join(home, "docker-credential-nfo-test"), []byte(helper), 0o700); err != nil {
				t.Fatal(err)
			}
			if tc.before != "" {
				if tc.link {
					target = filepath.Join(home, "dotfiles.json")
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(target, []byte(tc.before), 0o600), os.Chmod(target, tc.mode)); err != nil {
					t.Fatal(err)
				}
				if tc.link {
					if err := os.Symlink(target, file); err != nil {
						t.Fatal(err)
					}
				}
			}
			login := credential.OfToken(password)
			where, err := credential.Save(t.Context(), file, tc.host, login)
			registrytest.NoSecret(t, err, login)
			if tc.says != "" {
				after, _ := os.ReadFile(file)
				if !errors.Is(err, registry.ErrCredentials) || !strings.Contains(err.Error(), tc.says) || string(after) != tc.before {
					t.Errorf("%s: %v, want ErrCredentials and %q, and the file as it was", tc.reason, err, tc.says)
				}
				return
			}
			if want := tc.where; err != nil || where != want && (want != "" || where != target) {
				t.Fatalf("%s: in %q, %v, want %q or %s", tc.reason, where, err, want, target)
			}
			if got, err := credential.OfUser(t.Context(), tc.host); err != nil || got != login {
				t.Errorf("%s: it is not found again: %v", tc.reason, err)
			}
			wantKept(t, file, target, tc.before, tc.mode)
		})
	}
}

// wantKept checks that a file has kept its content other than the
// logins, and its mode, and that a link to it is still a link.
func wantKept(t *testing.T, file, target, before string, mode os.FileMode) {
	t.Helper()
	info, err := os.Lstat(file)
	if err != nil {
		t.Fatal(err)
	}
	if link := info.Mode()&os.ModeSymlink != 0; link != (target != file) {
		t.Errorf("a link: %t, want %t", link, target != file)
	}
	if info, err = os.Stat(target); err != nil || info.Mode().Perm() != mode {
		t.Errorf("mode %v, %v, want %v", info.Mode(), err, mode)
	}
	text, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(before, "credsStore") && strings.Contains(string(text), password) {
		t.Error("the login is beside the helper")
	}
	var was, is struct {
		Auths map[string]json.RawMessage
		Other map[string]json.RawMessage `json:"-"`
	}
	if strings.TrimSpace(before) == "" {
		return
	}
	for _, err := range []error{json.Unmarshal([]byte(before), &was), json.Unmarshal([]byte(before), &was.Other), json.Unmarshal(text, &is), json.Unmarshal(text, &is.Other)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range was.Other {
		if key != "auths" && !sameJSON(t, value, is.Other[key]) {
			t.Errorf("%s was %s and is %s", key, value, is.Other[key])
		}
	}
	for host, value := range was.Auths {
		if host == "other.example.com" && !sameJSON(t, value, is.Auths[host]) {
			t.Errorf("the login of %s was %s and is %s", host, value, is.Auths[host])
		}
	}
}

func sameJSON(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	plain := func(text json.RawMessage) string { return strings.Join(strings.Fields(string(text)), "") }
	return plain(a) == plain(b)
}
