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
	// How many of the tokens that were fetched last are scrubbed, more than requests run at a time.
	maxTokens = 64
	// A shorter token is not a secret, and would be found in any text.
	minToken = 8
	// A longer one fits into no error: an error answer of more bytes is not quoted.
	maxToken = maxErrorBytes
	// What oras-go reads of a token server's answer.
	maxTokenAnswer = 128 << 10
	redacted       = "[redacted]"
)

var (
	urlPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`)
	// What follows the scheme in an Authorization header, whose ever it is.
	authorizationPattern = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/-]{16,}=*`)
	// net/http quotes what a service that speaks no HTTP says of itself.
	bannerPattern = regexp.MustCompile(`(malformed (HTTP|MIME)[A-Za-z ]*)[:"].*`)
)

// secrets are the texts that no error of a client may repeat: its credential in every form in which it is
// sent, and the tokens that it has fetched with it. It is safe for concurrent use.
type secrets struct {
	credential []string

	mu     sync.Mutex
	tokens []string // the last ones, the newest at the end
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

// learn adds a token that was fetched, or sent.
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

// Scrub removes from a text what a registry may have echoed (our secrets), put in a redirect (user info, signed
// queries) or sent to the reader's terminal (control characters), and the banner of what is not a registry. It
// bounds the text's length.
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

// learner learns the secrets of the requests and of the token servers' answers that go through it.
type learner struct {
	base    http.RoundTripper
	secrets *secrets
}

// RoundTrip sends a request, and leaves it and its answer as they are.
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

// asksForToken reports whether a request is for a token server: what is asked of a registry is below /v2/, or
// is a redirect's.
func asksForToken(req *http.Request) bool {
	return req.Response == nil && !strings.HasPrefix(req.URL.Path, "/v2/") && (req.Method == http.MethodGet || req.Method == http.MethodPost)
}

// learnFrom learns the tokens of an answer. An answer that cannot be read, or has none, is for oras-go to report.
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

// failing is what is left of an answer that broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
