package access

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// operate is an app that answers "everything" to operators, and "numbers" to purges.
func operate(t *testing.T, c *Controller) *registry {
	t.Helper()
	return &registry{Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operator, err := c.Operates(r, r.URL.Query().Get("store"))
		switch refusal := (*Refusal)(nil); {
		case err != nil && !errors.As(err, &refusal):
			t.Errorf("the error is %T, want *Refusal", err)
		case err != nil:
			w.WriteHeader(http.StatusTeapot) // Handler replaces this answer
		case operator.Everything:
			_, _ = w.Write([]byte("everything"))
		default:
			_, _ = w.Write([]byte("numbers"))
		}
	})), t}
}

func TestWhoMayOperate(t *testing.T) {
	t.Parallel()
	r := operate(t, newServer(t, objects()...).controller(func(o *Options) { o.AnonymousPull = true }))
	for name, tc := range map[string]struct {
		reason, token, store string
		as                   func(*http.Request)
		status               int
		says                 string
	}{
		"Operator":  {"the operator's own accounts name no store", "operator", "", nil, 200, "everything"},
		"Purge":     {"the verb purge on the store", "purge", "acme/acme", nil, 200, "numbers"},
		"NoStore":   {"rights are on stores, so a store must be named", "purge", "", nil, 403, "?store=NAMESPACE/NAME"},
		"Elsewhere": {"a right on one store is not one on another", "purge", "acme/winner", nil, 403, `the verb "purge" on artifactstores/acme/winner`},
		"Publisher": {"a publisher collects nothing", "ci", "acme/acme", nil, 403, "kubectl create token acme-purge -n acme --audience nfo-registry"},
		"ByName":    {"the name of an account is not a right", "intruder", "acme/other", nil, 403, `the verb "purge"`},
		"URLStore":  {"a store in another registry has no say here", "anywhere", "acme/elsewhere", nil, 403, "no ArtifactStore acme/elsewhere"},
		"Gone":      {"nor has one that does not exist", "anywhere", "acme/gone", nil, 403, "no ArtifactStore acme/gone"},
		"Malformed": {"what is not a store's name is not asked about", "purge", "acme", nil, 403, "NAMESPACE/NAME"},
		"Slashes":   {"nor is this", "purge", "acme/acme/x", nil, 403, "NAMESPACE/NAME"},
		"Long":      {"nor what would fill the cache", "purge", "acme/" + strings.Repeat("a", 254), nil, 403, "NAMESPACE/NAME"},
		"Anonymous": {"anonymous pulls collect nothing", "", "acme/acme", nil, 401, "kubectl create token"},
		"Agent":     {"a node's agent pulls only", "", "acme/acme", agent(true, agentSubject), 401, "authentication required"},
		"Nobody":    {"nobody's token", "nonsense", "acme/acme", nil, 401, "does not accept the token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.as == nil {
				tc.as = func(*http.Request) {}
			}
			resp, says := r.ask(tc.token, "GET usage?store="+tc.store, "", tc.as)
			if resp.StatusCode != tc.status || !strings.Contains(says, tc.says) {
				t.Errorf("%s: the answer is %d %s, want %d with %q", tc.reason, resp.StatusCode, says, tc.status, tc.says)
			}
		})
	}
}

// A purge that polls must not cause a question each time, and a withdrawn right must end.
func TestOperatingIsAskedOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, objects()...)
	r := operate(t, s.controller())
	const request = "GET usage?store=acme/acme"
	for range 5 {
		if resp, says := r.ask("purge", request, ""); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.StatusCode, says)
		}
	}
	if s.tokens.Load() != 1 || s.accesses.Load() != 1 {
		t.Errorf("the API server was asked for %d tokens and %d rights, want 1 of each", s.tokens.Load(), s.accesses.Load())
	}
	delete(s.rights, purgeSA)
	s.clock.Step(goodFor + time.Nanosecond)
	if resp, says := r.ask("purge", request, ""); resp.StatusCode != http.StatusForbidden {
		t.Errorf("after the right was withdrawn: %d %s", resp.StatusCode, says)
	}
	s.down.Store(true)
	s.clock.Step(badFor + time.Nanosecond)
	if resp, says := r.ask("purge", request, ""); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("without an API server: %d %s", resp.StatusCode, says)
	}
}

// Without Handler, the error must say why the request was refused.
func TestOperatesWithoutHandler(t *testing.T) {
	t.Parallel()
	c := newServer(t).controller()
	_, err := c.Operates(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), "")
	if refusal := (*Refusal)(nil); !errors.As(err, &refusal) || refusal.Status != http.StatusUnauthorized {
		t.Errorf("the error is %v", err)
	}
}

func TestAPurgeCleansOnlyItsOwnRepositories(t *testing.T) {
	t.Parallel()
	server := newServer(t, objects()...)
	server.rights[anywhere] = []string{"purge artifactstores/acme/loser", "purge artifactstores/acme/above", "purge artifactstores/acme/pending"}
	c := server.controller()
	for _, tt := range []struct {
		reason, token, store, repository string
		may                              bool
	}{
		{"a repository of the store", "purge", "acme/acme", "acme/cnf/upf", true},
		{"the prefix itself", "purge", "acme/acme", "acme", true},
		{"a prefix that begins alike", "purge", "acme/acme", "acmeother/upf", false},
		{"everything", "purge", "acme/acme", "", false},
		{"a store whose prefix is another's", "anywhere", "acme/loser", "shared/part/upf", false},
		{"a store whose place is refused", "anywhere", "acme/above", "closed/upf", false},
		{"a store that nobody has judged yet", "anywhere", "acme/pending", "acme-pending/upf", false},
		{"an operator, everywhere", "operator", "", "anything/at/all", true},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.SetBasicAuth("nfo", tt.token)
		o, err := c.Operates(r, tt.store)
		if err != nil || o.May(tt.repository) != tt.may {
			t.Errorf("%s: %t, %v", tt.reason, !tt.may, err)
		}
	}
}
