package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

var digestA, digestB = digest.FromString("1"), digest.FromString("2") // the lower digest first

// listing returns a page in the documented form.
func listing(entries ...string) string {
	return `{"registry":"acme.example","imageName":"app","manifests":[` + strings.Join(entries, ",") + `]}`
}

// listedAt returns an entry in the documented form; more contains further fields.
func listedAt(d digest.Digest, more string) string {
	return fmt.Sprintf(`{"digest":%q,"imageSize":2401606,"createdTime":"2018-09-06T06:17:20.9983915Z","lastUpdateTime":"2018-09-06T06:17:20.9983915Z",
		"architecture":"amd64","os":"windows","mediaType":"application/vnd.docker.distribution.manifest.v2+json",
		"configMediaType":"application/vnd.docker.container.image.v1+json"%s}`, d, more)
}

func listedAs(d digest.Digest, locked bool, tags ...string) registry.Listed {
	return registry.Listed{Digest: d, MediaType: oci.MediaTypeDockerManifest, Size: 2401606, Tags: tags, Locked: locked}
}

// nextTo answers with a page and a link to another page.
func nextTo(w http.ResponseWriter, link string, entries ...string) {
	w.Header().Set("Link", `<`+link+`>; rel="next"`)
	say(w, listing(entries...))
}

func TestList(t *testing.T) {
	t.Parallel()
	attributes := func(del, write bool) string {
		return fmt.Sprintf(`,"changeableAttributes":{"deleteEnabled":%t,"writeEnabled":%t,"readEnabled":true,"listEnabled":true}`, del, write)
	}
	unauthorized := func(action string) func(http.ResponseWriter, int) {
		return func(w http.ResponseWriter, _ int) {
			w.WriteHeader(http.StatusUnauthorized)
			say(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[{"Type":"repository","Name":"app","Action":"`+action+`"}]}]}`)
		}
	}
	rows := map[string]struct {
		reason string
		answer func(w http.ResponseWriter, page int)
		want   []registry.Listed
		err    error
	}{
		"documented": {"one with tags, one without the field", func(w http.ResponseWriter, _ int) {
			say(w, listing(listedAt(digestB, attributes(true, true)), listedAt(digestA, `,"tags":["b","a"]`+attributes(true, true))))
		}, []registry.Listed{listedAs(digestA, false, "a", "b"), listedAs(digestB, false)}, nil},
		"no tags": {"null and empty are none too", func(w http.ResponseWriter, _ int) {
			say(w, listing(listedAt(digestA, `,"tags":null`), listedAt(digestB, `,"tags":[]`)))
		}, []registry.Listed{listedAs(digestA, false), listedAs(digestB, false)}, nil},
		"locked": {"either attribute keeps it from being deleted", func(w http.ResponseWriter, _ int) {
			say(w, listing(listedAt(digestA, attributes(false, true)), listedAt(digestB, attributes(true, false))))
		}, []registry.Listed{listedAs(digestA, true), listedAs(digestB, true)}, nil},
		"pages": {"by the link's query", func(w http.ResponseWriter, page int) {
			if page == 0 {
				nextTo(w, `/acr/v1/app/_manifests?last=sha256%3Aa&n=1&orderby=`, listedAt(digestA, ""))
				return
			}
			say(w, listing(listedAt(digestB, "")))
		}, []registry.Listed{listedAs(digestA, false), listedAs(digestB, false)}, nil},
		"changed between pages": {"the tag and the lock count", func(w http.ResponseWriter, page int) {
			if page == 0 {
				nextTo(w, `/acr/v1/app/_manifests?last=a`, listedAt(digestA, `,"tags":["a"]`))
				return
			}
			say(w, listing(listedAt(digestA, `,"tags":["b","a"]`+attributes(false, true)), listedAt(digestB, "")))
		}, []registry.Listed{listedAs(digestA, true, "a", "b"), listedAs(digestB, false)}, nil},
		"empty": {"nothing is there", func(w http.ResponseWriter, _ int) { say(w, listing()) }, nil, nil},
		"null":  {"nothing is there", func(w http.ResponseWriter, _ int) { say(w, `{"manifests":null}`) }, nil, nil},

		"circle": {"it would never end", func(w http.ResponseWriter, page int) {
			nextTo(w, fmt.Sprintf(`/acr/v1/app/_manifests?last=%d`, page%2), listedAt(digestA, ""))
		}, nil, registry.ErrUnreadable},
		"same link": {"nor would this", func(w http.ResponseWriter, _ int) {
			nextTo(w, `/acr/v1/app/_manifests?n=1000`)
		}, nil, registry.ErrUnreadable},
		"bad link": {"the rest cannot be read", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Link", "x")
			say(w, listing(listedAt(digestA, "")))
		}, nil, registry.ErrUnreadable},
		"failed page": {"half a list is not one (I2)", func(w http.ResponseWriter, page int) {
			if page > 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			nextTo(w, `/acr/v1/app/_manifests?last=a`, listedAt(digestA, ""))
		}, nil, registry.ErrUnavailable},
		"no digest":  {"one entry spoils them all (I2)", func(w http.ResponseWriter, _ int) { say(w, listing(listedAt(digestA, ""), `{}`)) }, nil, registry.ErrUnreadable},
		"null entry": {"so does this", func(w http.ResponseWriter, _ int) { say(w, listing(listedAt(digestA, ""), `null`)) }, nil, registry.ErrUnreadable},
		"bad digest": {"it could be a path", func(w http.ResponseWriter, _ int) { say(w, listing(listedAt("../../other", ""))) }, nil, registry.ErrUnreadable},
		"bad tag":    {"so could this", func(w http.ResponseWriter, _ int) { say(w, listing(listedAt(digestA, `,"tags":["../x"]`))) }, nil, registry.ErrUnreadable},
		"bad size": {"sums would be wrong", func(w http.ResponseWriter, _ int) {
			say(w, listing(`{"digest":"`+digestA.String()+`","imageSize":-1}`))
		}, nil, registry.ErrUnreadable},
		"bad lock": {"it may be locked", func(w http.ResponseWriter, _ int) {
			say(w, listing(listedAt(digestA, `,"changeableAttributes":{"deleteEnabled":"no"}`)))
		}, nil, registry.ErrUnreadable},
		"two digests": {"which one has no tag?", func(w http.ResponseWriter, _ int) {
			say(w, listing(listedAt(digestA, `,"Digest":"`+digestB.String()+`"`)))
		}, nil, registry.ErrUnreadable},
		"two locks": {"it may be locked", func(w http.ResponseWriter, _ int) {
			say(w, listing(listedAt(digestA, `,"changeableAttributes":{"deleteEnabled":false,"deleteEnabled":true}`)))
		}, nil, registry.ErrUnreadable},
		"attributes twice": {"it may be locked", func(w http.ResponseWriter, _ int) {
			say(w, listing(listedAt(digestA, attributes(false, true)+`,"changeableAttributes":null`)))
		}, nil, registry.ErrUnreadable},
		"two names":    {"whose list is it?", func(w http.ResponseWriter, _ int) { say(w, `{"imageName":"other","imageName":"app","manifests":[]}`) }, nil, registry.ErrUnreadable},
		"another's":    {"a cache has mixed them up", func(w http.ResponseWriter, _ int) { say(w, `{"imageName":"other","manifests":[]}`) }, nil, registry.ErrUnreadable},
		"other JSON":   {"absence of the list is not an empty list", func(w http.ResponseWriter, _ int) { say(w, `{"message":"hi"}`) }, nil, registry.ErrUnreadable},
		"wrong shape":  {"no list", func(w http.ResponseWriter, _ int) { say(w, `{"manifests":{"a":1}}`) }, nil, registry.ErrUnreadable},
		"garbage":      {"no list", func(w http.ResponseWriter, _ int) { say(w, `{"manifests":`) }, nil, registry.ErrUnreadable},
		"too large":    {"it is read to the limit", func(w http.ResponseWriter, _ int) { say(w, `{"imageName":"`+strings.Repeat("a", 17<<20)+`"}`) }, nil, registry.ErrUnreadable},
		"unknown":      {"the repository is not there", fails(http.StatusNotFound, "NAME_UNKNOWN"), nil, registry.ErrNotFound},
		"denied":       {"the login may not read metadata", unauthorized("metadata_read"), nil, registry.ErrDenied},
		"busy":         {"it is for the caller to wait", answers(http.StatusTooManyRequests), nil, registry.ErrUnavailable},
		"down":         {"says nothing of lists", answers(http.StatusBadGateway), nil, registry.ErrUnavailable},
		"no such path": {"not this kind of registry", answers(http.StatusNotFound), nil, registry.ErrUnsupported},
		"no such API":  {"nor this", fails(http.StatusNotFound, "UNSUPPORTED"), nil, registry.ErrUnsupported},
		"bad request":  {"nor this", answers(http.StatusBadRequest), nil, registry.ErrUnsupported},
		"not allowed":  {"nor this", fails(http.StatusMethodNotAllowed, "UNSUPPORTED"), nil, registry.ErrUnsupported},
		"login":        {"nor this: it asks for a login to every path", unauthorized("admin"), nil, registry.ErrUnsupported},
		"forbidden":    {"nor this", answers(http.StatusForbidden), nil, registry.ErrUnsupported},
		"portal":       {"nor this: it shows its pages at every path", func(w http.ResponseWriter, _ int) { html(http.StatusOK)(w, nil) }, nil, registry.ErrUnsupported},
		"error page":   {"nor this", func(w http.ResponseWriter, _ int) { html(http.StatusNotFound)(w, nil) }, nil, registry.ErrUnsupported},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pages atomic.Int64
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/acr/v1/app/_manifests" || r.Method != http.MethodGet {
					t.Errorf("unexpected request: %s %s", r.Method, r.URL)
				}
				row.answer(w, int(pages.Add(1))-1)
			}))
			got, err := c.List(t.Context(), "app")
			if !errors.Is(err, row.err) {
				t.Errorf("%v, want %v: %s", err, row.err, row.reason)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", row.reason, diff)
			}
			asked := pages.Load()
			if asked > 5 {
				t.Errorf("%d requests, want 5 at most, a page and the tries of another: %s", asked, row.reason)
			}
			if _, err := c.List(t.Context(), "app"); errors.Is(row.err, registry.ErrUnsupported) && (!errors.Is(err, registry.ErrUnsupported) || pages.Load() != asked) {
				t.Errorf("the second time: %v after %d requests, want ErrUnsupported after none", err, pages.Load()-asked)
			}
		})
	}
}

func answers(code int) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) { w.WriteHeader(code) }
}

func fails(code int, word string) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) { registrytest.Fail(w, code, word, "because") }
}

// A link to the next page may contain any host. The client must not connect to it or send it credentials.
func TestListStaysAtItsHost(t *testing.T) {
	t.Parallel()
	foreign, _ := start(t)
	var queries []string
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.RawQuery)
		if len(queries) == 1 {
			nextTo(w, foreign.URL("acr/v1/other/_manifests?last=a"), listedAt(digestA, ""))
			return
		}
		say(w, listing(listedAt(digestB, "")))
	}))
	listed, err := c.List(t.Context(), "app")
	if err != nil || len(listed) != 2 {
		t.Errorf("%d manifests, %v; want 2", len(listed), err)
	}
	if diff := cmp.Diff([]string{"n=1000", "last=a"}, queries); diff != "" || foreign.Count(nil) != 0 {
		t.Errorf("%d requests to the foreign host, want none; queries: -want +got\n%s", foreign.Count(nil), diff)
	}
}

func TestI9ListNothingOutsideThePrefix(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	c := open(t, registry.Config{Location: r.Location("acme")})
	for _, repository := range []string{"other/app", "acme", "acme/../other", "acme/app?x="} {
		if _, err := c.List(t.Context(), repository); !errors.Is(err, registry.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", repository, err)
		}
	}
	if n := r.Count(nil); n != 0 {
		t.Errorf("%d requests went out, want none", n)
	}
}
