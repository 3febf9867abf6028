package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

const (
	// maxTokens is how many of the latest tokens are scrubbed. It exceeds the number of concurrent requests.
	maxTokens = 64
	// minToken: a shorter token is not a secret, and would match parts of ordinary text.
	minToken = 8
	// maxToken: a longer token fits into no error, because at most maxErrorBytes of an error answer are quoted.
	maxToken = maxErrorBytes
	// maxTokenAnswer is how much oras-go reads of a token server's answer.
	maxTokenAnswer = 128 << 10
	redacted       = "[redacted]"
)

var (
	urlPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`)
	// authorizationPattern matches the scheme and the value of an Authorization header, whoever sent it.
	authorizationPattern = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/-]{16,}=*`)
	// bannerPattern matches the banner of a service that speaks no HTTP, which net/http quotes.
	bannerPattern = regexp.MustCompile(`(malformed (HTTP|MIME)[A-Za-z ]*)[:"].*`)
)

// secrets are the texts that no error of a client may contain: its credential in every form in
// which it is sent, and the tokens that it has sent or fetched. It is safe for concurrent use.
type secrets struct {
	credential []string

	mu     sync.Mutex
	tokens []string // the latest ones, the newest last
}

func newSecrets(cred credential.Credential) *secrets {
	forms := []string{cred.Password, cred.IdentityToken, cred.RegistryToken}
	if cred.Password != "" {
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(cred.Username+":"+cred.Password)), url.QueryEscape(cred.Password))
	}
	if cred.IdentityToken != "" {
		forms = append(forms, url.QueryEscape(cred.IdentityToken))
	}
	return &secrets{credential: slices.DeleteFunc(forms, func(s string) bool { return s == "" })}
}

// learn adds a token that was fetched or sent.
func (s *secrets) learn(token string) {
	if len(token) < minToken || len(token) > maxToken || slices.Contains(s.credential, token) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.tokens, token) {
		return
	}
	if len(s.tokens) == maxTokens {
		s.tokens = slices.Delete(s.tokens, 0, 1)
	}
	s.tokens = append(s.tokens, token)
}

// redact replaces the secrets in a text.
func (s *secrets) redact(text string) string {
	for _, secret := range s.credential {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range s.tokens {
		text = strings.ReplaceAll(text, token, redacted)
		text = strings.ReplaceAll(text, url.QueryEscape(token), redacted)
	}
	return authorizationPattern.ReplaceAllString(text, "${1} "+redacted)
}

// Scrub removes from a text the secrets that a registry may have echoed, the user info and signed queries of
// URLs, control characters, and the banner of a service that is not a registry. It bounds the length of the text.
func (c *Client) Scrub(text string) string {
	text = urlPattern.ReplaceAllStringFunc(c.secrets.redact(text), func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil {
			return "[url]"
		}
		return cleanURL(u).String()
	})
	return v1alpha1.Clip(bannerPattern.ReplaceAllString(text, "$1"), failure.MaxText)
}

// learner adds to the secrets the Authorization headers of requests and the tokens in the answers of token servers.
type learner struct {
	base    http.RoundTripper
	secrets *secrets
}

// RoundTrip sends a request. It changes neither the request nor the bytes of the answer.
func (l *learner) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, sent, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
		l.secrets.learn(strings.TrimSpace(sent))
	}
	resp, err := l.base.RoundTrip(req)
	if err == nil && asksForToken(req) {
		l.learnFrom(resp)
	}
	return resp, err
}

// asksForToken reports whether a request goes to a token server. Every
// other request to a registry has a path below /v2/, or is a redirect.
func asksForToken(req *http.Request) bool {
	return req.Response == nil && !strings.HasPrefix(req.URL.Path, "/v2/") && (req.Method == http.MethodGet || req.Method == http.MethodPost)
}

// learnFrom learns the tokens of an answer. oras-go reports an answer that is incomplete or has no token.
func (l *learner) learnFrom(resp *http.Response) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer))
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failing{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(data), rest), resp.Body}
	var answer struct {
		Token        string `json:"token"`
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if json.Unmarshal(data, &answer) == nil {
		for _, token := range []string{answer.Token, answer.AccessToken, answer.RefreshToken} {
			l.secrets.learn(token)
		}
	}
}

// failing is the rest of an answer that broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
