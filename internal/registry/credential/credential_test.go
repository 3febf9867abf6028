package credential_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

func TestCredentialFromDockerConfig(t *testing.T) {
	t.Parallel()
	secret := base64.StdEncoding.EncodeToString([]byte("acme:s3cret:x"))
	acme := registry.Credential{Username: "acme", Password: "s3cret:x"}
	rows := map[string]struct {
		reason, url, config string
		want                registry.Credential
		err                 error
	}{
		"auth":            {"the usual form; only the first colon separates", "https://r.io", `{"auths":{"r.io":{"auth":"` + secret + `"}}}`, acme, nil},
		"fields":          {"the other form", "https://r.io", `{"auths":{"r.io":{"username":"acme","password":"s3cret:x"}}}`, acme, nil},
		"auth and fields": {"auth goes first, as in docker", "https://r.io", `{"auths":{"r.io":{"auth":"` + secret + `","username":"old","password":"old"}}}`, acme, nil},
		"identity token":  {"some logins give one", "https://r.io", `{"auths":{"r.io":{"identitytoken":"s3cret"}}}`, registry.Credential{IdentityToken: "s3cret"}, nil},
		"registry token":  {"or one for the registry", "https://r.io", `{"auths":{"r.io":{"registrytoken":"s3cret"}}}`, registry.Credential{RegistryToken: "s3cret"}, nil},
		"v1":              {"docker login writes this", "https://r.io", `{"auths":{"https://r.io/v1/":{"auth":"` + secret + `"}}}`, acme, nil},
		"v2":              {"and others this", "https://r.io/acme", `{"auths":{"https://r.io/v2/":{"auth":"` + secret + `"}}}`, acme, nil},
		"port":            {"the port is part of the host", "https://r.io:5000/acme", `{"auths":{"r.io:5000":{"auth":"` + secret + `"}}}`, acme, nil},
		"default port":    {"the scheme's port is the same host", "https://r.io", `{"auths":{"R.io:443":{"auth":"` + secret + `"}}}`, acme, nil},
		"docker hub":      {"its logins are kept under another name", "https://docker.io/acme", `{"auths":{"https://index.docker.io/v1/":{"auth":"` + secret + `"}}}`, acme, nil},
		"longest":         {"the nearest entry is meant", "https://r.io/acme/a", `{"auths":{"r.io":{"username":"x","password":"x"},"r.io/acme":{"auth":"` + secret + `"},"r.io/acme/ab":{"username":"y","password":"y"}}}`, acme, nil},
		"loopback name":   {"nothing leaves this machine", "http://localhost:5000", `{"auths":{"localhost:5000":{"auth":"` + secret + `"}}}`, acme, nil},
		"loopback":        {"nor here", "http://127.1.2.3", `{"auths":{"https://127.1.2.3":{"auth":"` + secret + `"}}}`, acme, nil},
		"plain":           {"stored for plain HTTP", "http://r.io:5000/acme", `{"auths":{"http://r.io:5000":{"auth":"` + secret + `"}}}`, acme, nil},
		"plain, any case": {"a scheme has no case", "http://r.io", `{"auths":{"HTTP://r.io/v2/":{"auth":"` + secret + `"}}}`, acme, nil},
		"plain and TLS":   {"the nearer one is for TLS", "http://r.io/acme", `{"auths":{"http://r.io":{"auth":"` + secret + `"},"r.io/acme":{"username":"x","password":"s3cret"}}}`, acme, nil},
		"plain for TLS":   {"HTTPS shows nobody anything", "https://r.io:5000", `{"auths":{"http://r.io:5000":{"auth":"` + secret + `"}}}`, acme, nil},
		"TLS":             {"stored for HTTPS", "http://r.io:5000", `{"auths":{"https://r.io:5000":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"no scheme":       {"docker login without a scheme is for HTTPS", "http://r.io:5000", `{"auths":{"r.io:5000":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"TLS port":        {"the default ports differ", "http://r.io", `{"auths":{"r.io":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"like loopback":   {"a name is not an address", "http://127.0.0.1.r.io", `{"auths":{"127.0.0.1.r.io":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"like localhost":  {"nor this one", "http://localhost.r.io", `{"auths":{"localhost.r.io":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"private":         {"a private network is a network", "http://10.0.0.1", `{"auths":{"10.0.0.1":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"other port":      {"another port is another registry", "https://r.io", `{"auths":{"r.io:5000":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"below":           {"an entry for a part is not for the whole", "https://r.io", `{"auths":{"r.io/acme":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"by letter":       {"paths are whole segments", "https://r.io/acmecorp", `{"auths":{"r.io/acme":{"auth":"` + secret + `"}}}`, registry.Credential{}, registry.ErrCredentials},
		"no entries":      {"nothing to take", "https://r.io", `{}`, registry.Credential{}, registry.ErrCredentials},
		"empty entry":     {"credential helpers leave these behind", "https://r.io", `{"auths":{"r.io":{}}}`, registry.Credential{}, registry.ErrCredentials},
		"half a login":    {"it would only be refused", "https://r.io", `{"auths":{"r.io":{"username":"acme"}}}`, registry.Credential{}, registry.ErrCredentials},
		"not JSON":        {"nor anything else", "https://r.io", `s3cret`, registry.Credential{}, registry.ErrCredentials},
		"wrong JSON":      {"the parser's error would quote it", "https://r.io", `{"auths":{"r.io":"s3cret"}}`, registry.Credential{}, registry.ErrCredentials},
		"not base64":      {"so would this one", "https://r.io", `{"auths":{"r.io":{"auth":"s3cret!"}}}`, registry.Credential{}, registry.ErrCredentials},
		"no colon":        {"a user without a password", "https://r.io", `{"auths":{"r.io":{"auth":"czNjcmV0"}}}`, registry.Credential{}, registry.ErrCredentials},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkCredential(t, row.reason, row.url, corev1.SecretTypeDockerConfigJson, map[string]string{corev1.DockerConfigJsonKey: row.config}, row.want, row.err)
		})
	}
}

func TestALoginForTLSSaysWhyItIsNotSent(t *testing.T) {
	t.Parallel()
	l, err := v1alpha1.ParseRegistryURL("http://r.io:5000/acme")
	if err != nil {
		t.Fatal(err)
	}
	s := &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		corev1.DockerConfigJsonKey: []byte(`{"auths":{"r.io:5000":{"username":"acme","password":"s3cret"}}}`),
	}}
	_, err = credential.FromSecret(s, l)
	want := "the entry for r.io:5000 is for HTTPS and is not sent over plain HTTP; use a store with an https:// URL or, if this login may be read on the network, store the entry under the key http://r.io:5000"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("it says %v", err)
	}
}

func TestCredentialFromOtherSecrets(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason string
		kind   corev1.SecretType
		data   map[string]string
		want   registry.Credential
		err    error
	}{
		"basic":         {"for whatever host", corev1.SecretTypeBasicAuth, map[string]string{"username": "acme", "password": "s3cret"}, registry.Credential{Username: "acme", Password: "s3cret"}, nil},
		"no password":   {"Kubernetes allows it, a login does not", corev1.SecretTypeBasicAuth, map[string]string{"username": "acme"}, registry.Credential{}, registry.ErrCredentials},
		"no user":       {"nor this", corev1.SecretTypeBasicAuth, map[string]string{"password": "s3cret"}, registry.Credential{}, registry.ErrCredentials},
		"no config":     {"the key is what counts", corev1.SecretTypeDockerConfigJson, map[string]string{"config.json": "s3cret"}, registry.Credential{}, registry.ErrCredentials},
		"opaque":        {"a type says what a Secret is for", corev1.SecretTypeOpaque, map[string]string{"username": "acme", "password": "s3cret"}, registry.Credential{}, registry.ErrCredentials},
		"dockercfg":     {"the older type is not read", corev1.SecretTypeDockercfg, map[string]string{corev1.DockerConfigKey: `{"r.io":{"auth":"s3cret"}}`}, registry.Credential{}, registry.ErrCredentials},
		"without a key": {"nothing at all", corev1.SecretTypeBasicAuth, nil, registry.Credential{}, registry.ErrCredentials},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkCredential(t, row.reason, "https://r.io/acme", row.kind, row.data, row.want, row.err)
		})
	}
}

func checkCredential(t *testing.T, reason, url string, kind corev1.SecretType, data map[string]string, want registry.Credential, wantErr error) {
	t.Helper()
	l, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		t.Fatal(err)
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "push"}, Type: kind, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	got, err := credential.FromSecret(s, l)
	if !errors.Is(err, wantErr) {
		t.Errorf("error %v, want %v: %s", err, wantErr, reason)
	}
	// The fields are compared one by one, because a credential is redacted when it is printed.
	fields := func(c registry.Credential) []string {
		return []string{c.Username, c.Password, c.IdentityToken, c.RegistryToken}
	}
	if diff := cmp.Diff(fields(want), fields(got)); diff != "" {
		t.Errorf("%s: -want +got\n%s", reason, diff)
	}
	if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "czNj") || !strings.Contains(err.Error(), "publisher/push")) {
		t.Errorf("the error shows the secret or not which Secret: %v", err)
	}
}
