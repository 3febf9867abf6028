package admin_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/registry"
)

func TestUnreferencedIsReadOverPages(t *testing.T) {
	t.Parallel()
	a, b := digest.FromString("a"), digest.FromString("b")
	pages := map[string]string{
		"":           fmt.Sprintf(`{"manifests":[{"repository":"acme/upf","digest":%q,"since":"2026-08-01T12:00:00Z"}],"next":"acme/upf"}`, a),
		"acme/upf":   `{"manifests":[],"next":"acme/smf/x"}`,
		"acme/smf/x": fmt.Sprintf(`{"manifests":[{"repository":"acme/zzz","digest":%q}],"another":1}`, b),
	}
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/nfo/v1/unreferenced" || r.Method != http.MethodGet || r.URL.Query().Get("store") != "publisher/acme" {
			t.Errorf("asked was %s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(pages[r.URL.Query().Get("after")]))
	}))
	got, err := c.Unreferenced(t.Context(), acme)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]registry.Unreferenced{{Repository: "acme/upf", Digest: a}, {Repository: "acme/zzz", Digest: b}}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestListsOfUnreferencedThatDoNotCount(t *testing.T) {
	t.Parallel()
	for reason, row := range map[string]struct {
		status     int
		kind, body string
		want       error
	}{
		"another registry has no such path":   {404, "text/plain", "404 page not found", registry.ErrUnsupported},
		"it uses storage other than a volume": {501, "application/json", `{"errors":[{"code":"UNSUPPORTED"}]}`, registry.ErrUnsupported},
		"it is denied":                        {403, "application/json", `{"errors":[{"code":"DENIED"}]}`, registry.ErrDenied},
		"a digest that is invalid":            {200, "application/json", `{"manifests":[{"repository":"a","digest":"sha256:1"}]}`, registry.ErrUnreadable},
		"a repository that no registry has":   {200, "application/json", `{"manifests":[{"repository":"../a","digest":"` + digest.FromString("a").String() + `"}]}`, registry.ErrUnreadable},
		"pages that do not move on":           {200, "application/json", `{"manifests":[],"next":"a"}`, registry.ErrUnreadable},
		"more than a page has":                {200, "application/json", `{"manifests":[],"next":"` + strings.Repeat("x", 300<<10) + `"}`, registry.ErrUnreadable},
	} {
		c, _ := says(t, row.status, row.kind, row.body)
		if got, err := c.Unreferenced(t.Context(), acme); !errors.Is(err, row.want) || got != nil {
			t.Errorf("%s: %v, %v, want %v", reason, got, err, row.want)
		}
	}
}

func TestDeleteUnreferenced(t *testing.T) {
	t.Parallel()
	for reason, row := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"it is done":                      {202, `{}`, nil},
		"no such manifest":                {404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, registry.ErrNotFound},
		"a 404 of a proxy proves nothing": {404, `not found`, registry.ErrUnavailable},
		"it was pushed again":             {409, `{"errors":[{"code":"DENIED"}]}`, registry.ErrProtected},
		"the login may not":               {403, `{"errors":[{"code":"DENIED"}]}`, registry.ErrDenied},
		"an answer of something else":     {200, `<html>`, registry.ErrUnavailable},
	} {
		c, last := says(t, row.status, "application/json", row.body)
		d := digest.FromString("a")
		if err := c.DeleteUnreferenced(t.Context(), acme, "acme/upf", d); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", reason, err, row.want)
		}
		if q := last.URL.Query(); last.Method != http.MethodDelete || q.Get("repository") != "acme/upf" || q.Get("digest") != d.String() || q.Get("store") != "publisher/acme" {
			t.Errorf("asked was %s %s", last.Method, last.URL)
		}
	}
}
