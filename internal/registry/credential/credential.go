package credential

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// Credential is the login to a registry: a user name with a
// password, or a token. Printing it shows none of its fields.
type Credential struct {
	Username, Password string
	// IdentityToken is an OAuth 2 refresh token, which is exchanged for access tokens.
	IdentityToken string
	// RegistryToken is sent to the registry unchanged.
	RegistryToken string
}

// String keeps secrets out of logs.
func (Credential) String() string { return "[redacted]" }

// GoString keeps secrets out of %#v.
func (Credential) GoString() string { return "[redacted]" }

// MarshalText keeps secrets out of structured logs.
func (Credential) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Oras returns the credential in the form of oras-go.
func (c Credential) Oras() auth.Credential {
	return auth.Credential{Username: c.Username, Password: c.Password, RefreshToken: c.IdentityToken, AccessToken: c.RegistryToken}
}

// usable reports whether the login is complete. Registries refuse an incomplete one.
func (c Credential) usable() bool {
	return c.IdentityToken != "" || c.RegistryToken != "" || (c.Username != "" && c.Password != "")
}

// tokenUser is the user name that is sent with a token. The cluster's own registry accepts any.
const tokenUser = "nfo"

// OfToken returns the login to the cluster's own registry with a token.
func OfToken(token string) Credential {
	return Credential{Username: tokenUser, Password: token}
}

// FromSecret reads the credential for a location from a Secret of type kubernetes.io/basic-auth or
// kubernetes.io/dockerconfigjson. Of the entries of a docker configuration it takes those with the location's
// host and port, and of these the one whose path is the longest prefix of the location's path, by whole segments.
// The paths /v1/ and /v2/ in a key such as https://host/v1/ stand for the host alone. For a location of plain
// HTTP on another machine it takes only entries whose key begins with http://: any other login was stored for
// TLS, and is never sent in clear. Errors wrap ErrCredentials and contain nothing of the Secret's data.
func FromSecret(s *corev1.Secret, l v1alpha1.RegistryLocation) (Credential, error) {
	cred, err := credentialFrom(s, l)
	if err == nil && !cred.usable() {
		err = fmt.Errorf("%w: neither user name and password nor a token for %s", failure.ErrCredentials, l.Host)
	}
	if err != nil {
		return Credential{}, fmt.Errorf("reading Secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	return cred, nil
}

func credentialFrom(s *corev1.Secret, l v1alpha1.RegistryLocation) (Credential, error) {
	switch s.Type {
	case corev1.SecretTypeBasicAuth:
		for _, key := range []string{corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey} {
			if len(s.Data[key]) == 0 {
				return Credential{}, fmt.Errorf("%w: no key %q", failure.ErrCredentials, key)
			}
		}
		return Credential{Username: string(s.Data[corev1.BasicAuthUsernameKey]), Password: string(s.Data[corev1.BasicAuthPasswordKey])}, nil
	case corev1.SecretTypeDockerConfigJson:
		raw, ok := s.Data[corev1.DockerConfigJsonKey]
		if !ok {
			return Credential{}, fmt.Errorf("%w: no key %q", failure.ErrCredentials, corev1.DockerConfigJsonKey)
		}
		return fromDockerConfig(raw, l)
	}
	return Credential{}, fmt.Errorf("%w: its type is %q, not %s or %s", failure.ErrCredentials, s.Type, corev1.SecretTypeDockerConfigJson, corev1.SecretTypeBasicAuth)
}

// maxDockerEntries bounds the entries of one Secret that are tried.
const maxDockerEntries = 16

// AllFromSecret returns all credentials of a Secret that fit a location, at most 16, those for
// the longest paths first. The rules of FromSecret apply to each of them. A docker configuration
// without a fitting entry is not an error, and an entry that is unusable is skipped.
func AllFromSecret(s *corev1.Secret, l v1alpha1.RegistryLocation) ([]Credential, error) {
	if s.Type != corev1.SecretTypeDockerConfigJson {
		one, err := FromSecret(s, l)
		if err != nil {
			return nil, err
		}
		return []Credential{one}, nil
	}
	var config struct {
		Auths map[string]dockerEntry `json:"auths"`
	}
	// The errors of the parser quote its input, which is secret, so they are not wrapped here.
	if json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &config) != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w: %s is not a docker configuration in JSON", s.Namespace, s.Name, failure.ErrCredentials, corev1.DockerConfigJsonKey)
	}
	var all []Credential
	for _, key := range matches(config.Auths, l) {
		if one, err := config.Auths[key].credential(l); err == nil && one.usable() && len(all) < maxDockerEntries {
			all = append(all, one)
		}
	}
	return all, nil
}

type dockerEntry struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

func fromDockerConfig(raw []byte, l v1alpha1.RegistryLocation) (Credential, error) {
	var config struct {
		Auths map[string]dockerEntry `json:"auths"`
	}
	// The errors of the parser quote its input, which is secret, so they are not wrapped here.
	if json.Unmarshal(raw, &config) != nil {
		return Credential{}, fmt.Errorf("%w: %s is not a docker configuration in JSON", failure.ErrCredentials, corev1.DockerConfigJsonKey)
	}
	key, found := longestMatch(config.Auths, l)
	if !found {
		tls := l
		tls.PlainHTTP = false
		if _, stored := longestMatch(config.Auths, tls); stored && l.InClear() {
			return Credential{}, fmt.Errorf("%w: the entry for %s is for HTTPS and is not sent over plain HTTP; use a store with an https:// URL or, if this login may be read on the network, store the entry under the key http://%s",
				failure.ErrCredentials, l.Host, l.Host)
		}
		return Credential{}, fmt.Errorf("%w: no entry for %s", failure.ErrCredentials, l.Host)
	}
	return config.Auths[key].credential(l)
}

// credential returns the login of an entry.
func (e dockerEntry) credential(l v1alpha1.RegistryLocation) (Credential, error) {
	cred := Credential{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth != "" { // as in docker, it takes precedence over the two fields
		login, err := base64.StdEncoding.DecodeString(e.Auth)
		user, password, ok := strings.Cut(string(login), ":")
		if err != nil || !ok {
			return Credential{}, fmt.Errorf("%w: the field auth of the entry for %s is not base64 of user:password", failure.ErrCredentials, l.Host)
		}
		cred.Username, cred.Password = user, strings.TrimRight(password, "\x00")
	}
	return cred, nil
}

// longestMatch returns the key of the entry that fits a location best, the first of matches. If several keys are
// forms of the same location, it returns the first of them in byte order, so that the result is deterministic.
func longestMatch(entries map[string]dockerEntry, l v1alpha1.RegistryLocation) (string, bool) {
	keys := matches(entries, l)
	if len(keys) == 0 {
		return "", false
	}
	return keys[0], true
}

// matches returns the keys of the entries that fit a location, those with the longest paths first.
func matches(entries map[string]dockerEntry, l v1alpha1.RegistryLocation) []string {
	paths := map[string]int{}
	for key := range entries {
		if path, ok := keyPath(key, l); ok {
			paths[key] = len(path)
		}
	}
	return slices.SortedFunc(maps.Keys(paths), func(a, b string) int {
		return cmp.Or(cmp.Compare(paths[b], paths[a]), cmp.Compare(a, b))
	})
}

// keyPath returns the path of an entry, and whether the entry covers the location and may be sent there.
func keyPath(key string, l v1alpha1.RegistryLocation) (string, bool) {
	storedFor, rest, ok := strings.Cut(key, "://")
	if ok {
		key = rest
	}
	if l.InClear() && (!ok || !strings.EqualFold(storedFor, "http")) {
		return "", false
	}
	scheme := "https://"
	if l.PlainHTTP {
		scheme = "http://"
	}
	entry, err := v1alpha1.ParseRegistryURL(scheme + key)
	if err != nil || v1alpha1.CanonicalHost(entry.Host) != v1alpha1.CanonicalHost(l.Host) {
		return "", false
	}
	path := entry.Prefix
	if path == "v1" || path == "v2" {
		path = ""
	}
	return path, path == "" || l.Prefix == path || strings.HasPrefix(l.Prefix, path+"/")
}
