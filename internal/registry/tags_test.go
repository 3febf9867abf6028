package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestTags(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason string
		answer func(w http.ResponseWriter, page int)
		want   []string
		err    error
	}{
		"one page": {"sorted, each once", func(w http.ResponseWriter, _ int) {
			say(w, `{"name":"app","tags":["b","a","b"]}`)
		}, []string{"a", "b"}, nil},
		"null": {"a repository without tags", func(w http.ResponseWriter, _ int) {
			say(w, `{"name":"app","tags":null}`)
		}, nil, nil},
		"inner link": {"only its query counts", func(w http.ResponseWriter, page int) {
			if page == 0 {
				w.Header().Set("Link", `<https://inner.example/other?last=a&n=1>; rel="next"`)
			}
			say(w, fmt.Sprintf(`{"tags":["t%d"]}`, page))
		}, []string{"t0", "t1"}, nil},
		"empty page": {"more may follow", func(w http.ResponseWriter, page int) {
			if page == 0 {
				w.Header().Set("Link", `</v2/app/tags/list?last=a>; rel="next"`)
				say(w, `{"name":"app","tags":[]}`)
				return
			}
			say(w, `{"tags":["z"]}`)
		}, []string{"z"}, nil},
		"same link": {"it would never end", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Link", `</v2/app/tags/list?n=1000>; rel="next"`)
			say(w, `{"name":"app","tags":[]}`)
		}, nil, registry.ErrUnreadable},
		"same tags": {"nor would this", func(w http.ResponseWriter, page int) {
			w.Header().Set("Link", `</v2/app/tags/list?last=`+strconv.Itoa(page)+`>; rel="next"`)
			say(w, `{"tags":["a"]}`)
		}, nil, registry.ErrUnreadable},
		"bad link":    {"the rest cannot be read", link(`/v2/app/tags/list?last=a`), nil, registry.ErrUnreadable},
		"open link":   {"nor here", link(`</v2/app/tags/list?last=a`), nil, registry.ErrUnreadable},
		"empty link":  {"nor here", link(`<>`), nil, registry.ErrUnreadable},
		"garbage":     {"no list", func(w http.ResponseWriter, _ int) { say(w, `{"tags":`) }, nil, registry.ErrUnreadable},
		"other JSON":  {"absence of the list is not an empty list", func(w http.ResponseWriter, _ int) { say(w, `{"message":"hi"}`) }, nil, registry.ErrUnreadable},
		"wrong shape": {"no list", func(w http.ResponseWriter, _ int) { say(w, `{"tags":{"a":1}}`) }, nil, registry.ErrUnreadable},
		"bad tag":     {"it could be a path", func(w http.ResponseWriter, _ int) { say(w, `{"tags":["../x"]}`) }, nil, registry.ErrUnreadable},
		"page":        {"a portal answers", func(w http.ResponseWriter, _ int) { html(http.StatusOK)(w, nil) }, nil, registry.ErrUnreadable},
		"unknown": {"the caller knows what that means", func(w http.ResponseWriter, _ int) {
			registrytest.Fail(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		}, nil, registry.ErrNotFound},
		"not found": {"I2: it does not say what", func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusNotFound) }, nil, registry.ErrUnavailable},
		"not offered": {"I2: so it may have tags", func(w http.ResponseWriter, _ int) {
			registrytest.Fail(w, http.StatusNotFound, "UNSUPPORTED", "not here")
		}, nil, registry.ErrUnavailable},
		"nameless":     {"an empty list of nothing", func(w http.ResponseWriter, _ int) { say(w, `{"tags":[]}`) }, nil, registry.ErrUnreadable},
		"another list": {"of another repository", func(w http.ResponseWriter, _ int) { say(w, `{"name":"apps","tags":[]}`) }, nil, registry.ErrUnreadable},
		"failed page": {"half a list is not one (I2)", func(w http.ResponseWriter, page int) {
			if page > 0 {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Link", `</v2/app/tags/list?last=a>; rel="next"`)
			say(w, `{"tags":["a"]}`)
		}, nil, registry.ErrDenied},
		"too large": {"it is read to the limit", func(w http.ResponseWriter, _ int) {
			say(w, `{"tags":["`+strings.Repeat("a", 17<<20)+`"]}`)
		}, nil, registry.ErrUnreadable},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pages atomic.Int64
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/app/tags/list" {
					t.Errorf("unexpected request: %s %s", r.Method, r.URL)
				}
				row.answer(w, int(pages.Add(1))-1)
			}))
			got, err := c.Tags(t.Context(), "app")
			if !errors.Is(err, row.err) {
				t.Errorf("%v, want %v: %s", err, row.err, row.reason)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", row.reason, diff)
			}
		})
	}
}

func TestTagsOfManyPages(t *testing.T) {
	t.Parallel()
	const pages = 50
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last, _ := strconv.Atoi(r.URL.Query().Get("last"))
		if r.URL.Query().Get("n") != "1000" {
			t.Errorf("page size %q, want 1000", r.URL.Query().Get("n"))
		}
		var tags []string
		for i := range 1000 {
			tags = append(tags, fmt.Sprintf("%q", strconv.Itoa(last+i+1)))
		}
		if next := last + 1000; next < pages*1000 {
			w.Header().Set("Link", fmt.Sprintf(`</v2/app/tags/list?last=%d&n=1000>; rel="next"`, next))
		}
		say(w, fmt.Sprintf(`{"tags":[%s]}`, strings.Join(tags, ",")))
	}))
	got, err := c.Tags(t.Context(), "app")
	if err != nil || len(got) != pages*1000 || !slices.IsSorted(got) {
		t.Errorf("%d tags, %v; want %d, sorted", len(got), err, pages*1000)
	}
}

func link(value string) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) {
		w.Header().Set("Link", value)
		say(w, `{"tags":["a"]}`)
	}
}
