package registrytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"

	"github.com/nfo-operator/nfo/internal/registry"
)

// TokenServer gives bearer tokens to one user, for every requested scope.
// Spec: distribution, "Token Authentication Specification".
type TokenServer struct {
	user, password string
	key            *ecdsa.PrivateKey
	cert           []byte

	mu       sync.Mutex
	scopes   []string
	withheld []string
	given    map[string][]access
}

// BearerAuth requires the bearer tokens of a token server, which gives them to one user.
func BearerAuth(user, password string) Option {
	return func(t testing.TB, s *settings) {
		t.Helper()
		tokens := &TokenServer{user: user, password: password, given: map[string][]access{}}
		bundle := tokens.makeKey(t)
		server := httptest.NewServer(tokens)
		t.Cleanup(server.Close)
		s.tokens = tokens
		s.auth = configuration.Auth{"token": {"realm": server.URL + "/token", "issuer": "test", "service": "registry", "rootcertbundle": bundle}}
	}
}

func (s *TokenServer) makeKey(t testing.TB) string {
	t.Helper()
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatalf("making a key: %v", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	if s.cert, err = x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key); err != nil {
		t.Fatalf("making a certificate: %v", err)
	}
	path := filepath.Join(t.TempDir(), "tokens.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert}), 0o600); err != nil {
		t.Fatalf("writing a certificate: %v", err)
	}
	return path
}

// Scopes returns the scopes of the tokens so far, in order.
func (s *TokenServer) Scopes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.scopes...)
}

// Withhold leaves actions out of all further tokens.
func (s *TokenServer) Withhold(actions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withheld = actions
}

// gave reports whether a token of this server allows an action on a repository.
func (s *TokenServer) gave(token, repository, action string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.given[token], func(a access) bool {
		return a.Type == "repository" && a.Name == repository && slices.Contains(a.Actions, action)
	})
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (s *TokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, password, ok := r.BasicAuth(); !ok || user != s.user || password != s.password {
		Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong user or password")
		return
	}
	scopes := r.URL.Query()["scope"]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scopes = append(s.scopes, strings.Join(scopes, " "))
	var granted []access
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		if i := strings.LastIndex(rest, ":"); i >= 0 {
			actions := slices.DeleteFunc(strings.Split(rest[i+1:], ","), func(action string) bool { return slices.Contains(s.withheld, action) })
			granted = append(granted, access{Type: kind, Name: rest[:i], Actions: actions})
		}
	}
	token, err := s.sign(granted)
	if err != nil {
		Fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	s.given[token] = granted
	_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
}

// sign makes a JSON Web Token with ES256 (RFC 7518, 3.4).
func (s *TokenServer) sign(granted []access) (string, error) {
	now := time.Now()
	header, err := segment(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.cert)}})
	if err != nil {
		return "", err
	}
	claims, err := segment(map[string]any{
		"iss": "test", "sub": s.user, "aud": "registry", "jti": rand.Text(), "access": granted,
		"nbf": now.Add(-time.Minute).Unix(), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(header + "." + claims))
	a, b, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	signature := append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	return header + "." + claims + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func segment(v any) (string, error) {
	data, err := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(data), err
}

// NoSecret fails the test if an error contains a credential in any form in which it is sent.
func NoSecret(t testing.TB, err error, cred registry.Credential) {
	t.Helper()
	if err == nil {
		return
	}
	basic := base64.StdEncoding.EncodeToString([]byte(cred.Username + ":" + cred.Password))
	for _, secret := range []string{cred.Password, cred.IdentityToken, cred.RegistryToken, basic} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}
