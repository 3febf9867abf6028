package wire_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/registry"
)

// Each row has the Link headers of a list's first page. next is the
// query of the request for the second page, "" if there must be none.
func TestLinkToTheNextPage(t *testing.T) {
	t.Parallel()
	const last, other = `</v2/app/tags/list?last=a>`, `</v2/app/tags/list?last=b>`
	rows := map[string]struct {
		reason  string
		headers []string
		next    string
		err     error
	}{
		"quoted":             {"as registries write it", []string{last + `; rel="next"`}, "last=a", nil},
		"token":              {"quotes are optional", []string{last + `; rel=next`}, "last=a", nil},
		"case":               {"neither names nor relations have a case", []string{last + `; REL="Next"`}, "last=a", nil},
		"spaces":             {"white space means nothing", []string{"  " + last + "\t ;  rel = \"next\"  "}, "last=a", nil},
		"several relations":  {"one of them is enough", []string{last + `; rel="prefetch next"`}, "last=a", nil},
		"apostrophes":        {"some servers quote with them", []string{last + `; rel='next'`}, "last=a", nil},
		"commas in relation": {"some servers separate with them", []string{last + `; rel="last,next"`}, "last=a", nil},
		"no relation":        {"a page too many loses nothing", []string{last}, "last=a", nil},
		"empty relation":     {"nor here", []string{last + `; rel=""`}, "last=a", nil},
		"parameters":         {"in any order, quoted or not, with or without a value", []string{last + `; title="a, b; rel=\"prev\" > c"; crossorigin; rel=next; type=text/plain;`}, "last=a", nil},
		"second relation":    {"the first rel counts", []string{last + `; rel="next"; rel="prev"`}, "last=a", nil},
		"comma in target":    {"a target ends at its bracket", []string{`</v2/app/tags/list?last=a,b;c>; rel="next"`}, "last=a,b;c", nil},
		"two headers":        {"the relation decides, not the order", []string{other + `; rel="first"`, last + `; rel="next"`}, "last=a", nil},
		"two links":          {"in one header", []string{other + `; rel="first", ` + last + `; rel="next"`}, "last=a", nil},
		"two links, token":   {"a comma ends a token", []string{other + `; rel=first,` + last + `;rel=next`}, "last=a", nil},
		"empty links":        {"a list may have empty elements", []string{`, ,` + last + `; rel="next",, `}, "last=a", nil},
		"empty header":       {"it says nothing", []string{"", last + `; rel="next"`}, "last=a", nil},
		"same link twice":    {"both lead to one page", []string{last + `; rel="next"`, `<https://inner.example/x?last=a>; rel="next"`}, "last=a", nil},
		"unnamed and next":   {"one says that it is the next page", []string{other, last + `; rel="next"`}, "last=a", nil},
		"others":             {"the last page has no link to a next one", []string{other + `; rel="first"`, `<https://example.com/terms>; rel="license"`}, "", nil},
		"similar":            {"another relation", []string{other + `; rel="https://example.com/next"`}, "", nil},
		"only an empty one":  {"it says nothing", []string{""}, "", nil},

		"two next links":    {"one of them would be lost", []string{last + `; rel="next"`, other + `; rel="next"`}, "", registry.ErrUnreadable},
		"two unnamed links": {"either may be the next page", []string{last + `, ` + other}, "", registry.ErrUnreadable},
		"no brackets":       {"it is not a link", []string{`/v2/app/tags/list?last=a; rel="next"`}, "", registry.ErrUnreadable},
		"open bracket":      {"its target does not end", []string{`</v2/app/tags/list?last=a; rel="next"`}, "", registry.ErrUnreadable},
		"open quote":        {"its relation does not end", []string{last + `; rel="next`}, "", registry.ErrUnreadable},
		"open escape":       {"its relation does not end", []string{last + `; rel="next\`}, "", registry.ErrUnreadable},
		"no semicolon":      {"what follows the target is not a parameter", []string{last + ` rel="next"`}, "", registry.ErrUnreadable},
		"text after quote":  {"what follows the value is not a parameter", []string{last + `; rel="next"x`}, "", registry.ErrUnreadable},
		"no query":          {"a page has a query", []string{`</v2/app/tags/list>; rel="next"`}, "", registry.ErrUnreadable},
		"no URL":            {"the target cannot be parsed", []string{`<http://[?last=a>; rel="next"`}, "", registry.ErrUnreadable},
		"malformed second":  {"it may be the next page", []string{other + `; rel="first", /v2/app/tags/list?last=a; rel="next"`}, "", registry.ErrUnreadable},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var queries []string
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if queries = append(queries, r.URL.RawQuery); len(queries) == 1 {
					w.Header()["Link"] = row.headers
				}
				say(w, `{"name":"app","tags":[]}`)
			}))
			_, err := c.Tags(t.Context(), "app")
			if !errors.Is(err, row.err) || (err != nil) != (row.err != nil) {
				t.Errorf("%v, want %v: %s", err, row.err, row.reason)
			}
			want := []string{"n=1000"}
			if row.next != "" {
				want = append(want, row.next)
			}
			if strings.Join(queries, " ") != strings.Join(want, " ") {
				t.Errorf("the pages asked for are %q, want %q: %s", queries, want, row.reason)
			}
		})
	}
}

// A registry decides how long its headers are. The time to read them must be proportional to their length.
func TestLongLinkHeaders(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for name, header := range map[string]string{
		"Parameters": `<?last=a>; rel="prev"` + strings.Repeat(";", size),
		"Links":      strings.Repeat(`<?last=a>; rel=prev,`, size/20),
		"Open":       strings.Repeat(`<`, size),
		"Quotes":     `<?last=a>; rel="prev"; title="` + strings.Repeat(`\"`, size/2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", header)
				say(w, `{"tags":["a"]}`)
			}))
			began := time.Now()
			_, _ = c.Tags(t.Context(), "app") // either result is fine: only the time counts
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("reading it took %s", took)
			}
		})
	}
}
