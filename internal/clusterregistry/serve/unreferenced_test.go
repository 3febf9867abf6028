package serve_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
)

func (s site) unreferenced(query string) serve.UnreferencedPage {
	s.t.Helper()
	res, text := s.ask(http.MethodGet, "/nfo/v1/unreferenced?"+query, nil, "")
	var page serve.UnreferencedPage
	if err := json.Unmarshal([]byte(text), &page); err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatal(res.Status, text, err)
	}
	return page
}

// image pushes an image with its own content to repository r, and tags it.
func (s site) image(tag, content string) digest.Digest {
	s.t.Helper()
	layer, status, text := s.upload([]byte(content))
	if status != http.StatusCreated {
		s.t.Fatal(status, text)
	}
	_, d := s.put(tag, ocispec.Manifest{Config: layer})
	return d.Digest
}

func TestAnOverwrittenImageIsListedAndDeleted(t *testing.T) {
	root := t.TempDir()
	s := start(t, root, serve.Options{Collection: collect.Options{Dwell: time.Millisecond}})
	before := s.image("1", "before")
	stays := s.image("1", "after")
	remove := func(d digest.Digest) int {
		res, _ := s.ask(http.MethodDelete, fmt.Sprintf("/nfo/v1/unreferenced?repository=r&digest=%s", d), nil, "")
		return res.StatusCode
	}
	if page := s.unreferenced(""); len(page.Manifests) != 0 {
		t.Errorf("it may still be a part of a push: %+v", page)
	}
	if status := remove(before); status != http.StatusConflict {
		t.Errorf("deleting what was pushed just now: %d", status)
	}
	s.age(root)
	page := s.unreferenced("prefix=r&n=1")
	if len(page.Manifests) != 1 || page.Manifests[0].Repository != "r" || page.Manifests[0].Digest != before || time.Since(page.Manifests[0].Since) < 47*time.Hour || page.Next != "" {
		t.Fatalf("%+v", page)
	}
	if status := remove(before); status != http.StatusAccepted {
		t.Fatalf("deleting what is old: %d", status)
	}
	if page := s.unreferenced(""); len(page.Manifests) != 0 {
		t.Errorf("it is listed again: %+v", page)
	}
	if status := remove(digest.FromString("nothing")); status != http.StatusNotFound {
		t.Errorf("deleting what is not there: %d", status)
	}
	if got := s.collection(); got.Last.Deleted.Revisions != 1 || got.Last.Deleted.Blobs != 2 {
		t.Errorf("%+v", got.Last.Deleted)
	}
	for d, want := range map[digest.Digest]int{before: http.StatusNotFound, stays: http.StatusOK} {
		if res, _ := s.ask(http.MethodGet, "/v2/r/manifests/"+d.String(), nil, ""); res.StatusCode != want {
			t.Errorf("%s: %s, want %d", d, res.Status, want)
		}
	}
}

func TestWhoMayCleanWhere(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{Access: newAccess(t)})
	d := digest.FromString("x").String()
	for _, tc := range []struct {
		reason, user, method, query string
		status                      int
	}{
		{"the operator may know everything", "operator", http.MethodGet, "", 200},
		{"or a part of it", "operator", http.MethodGet, "prefix=other/upf&n=7&after=other/upf@" + d, 200},
		{"a purge may know what is its store's", "purge", http.MethodGet, "store=acme/acme&prefix=acme", 200},
		{"or a part of it", "purge", http.MethodGet, "store=acme/acme&prefix=acme/upf", 200},
		{"a purge may not know everything", "purge", http.MethodGet, "store=acme/acme", 400},
		{"nor what is another store's", "purge", http.MethodGet, "store=acme/acme&prefix=acmeother", 403},
		{"a purge must say for which store", "purge", http.MethodGet, "prefix=acme", 403},
		{"others may know nothing", "ci", http.MethodGet, "store=acme/acme&prefix=acme", 403},
		{"a number of entries is one", "operator", http.MethodGet, "n=0", 400},
		{"a prefix does not leave the registry", "operator", http.MethodGet, "prefix=../../blobs", 400},
		{"a purge may delete what is its store's", "purge", http.MethodDelete, "store=acme/acme&repository=acme/upf&digest=" + d, 404},
		{"and nothing else", "purge", http.MethodDelete, "store=acme/acme&repository=other/upf&digest=" + d, 403},
		{"others may delete nothing", "ci", http.MethodDelete, "store=acme/acme&repository=acme/upf&digest=" + d, 403},
		{"a repository has a name", "operator", http.MethodDelete, "repository=../x&digest=" + d, 400},
		{"a digest is one", "operator", http.MethodDelete, "repository=acme/upf&digest=sha256:1", 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, s.url+"/nfo/v1/unreferenced?"+tc.query, http.NoBody)
		check(t, err)
		req.SetBasicAuth("nfo", tc.user)
		res, err := http.DefaultClient.Do(req)
		check(t, err)
		text, err := io.ReadAll(res.Body)
		check(t, err)
		check(t, res.Body.Close())
		if res.StatusCode != tc.status || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %d %s, want %d", tc.reason, res.StatusCode, text, tc.status)
		}
	}
}
