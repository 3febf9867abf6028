package registry_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestI6DeletionDisabled(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason string
		opt    registrytest.Option
	}{
		"delete disabled": {"distribution's default", registrytest.DeleteDisabled()},
		"read-only":       {"maintenance, a bare 405", registrytest.ReadOnly()},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			desc := push(t, registrytest.Start(t, registrytest.InDir(dir)).Host, "app", "1.0.0", "a")
			_, c := start(t, registrytest.InDir(dir), row.opt)
			if err := c.Untag(t.Context(), "app", "1.0.0"); !errors.Is(err, registry.ErrUnsupported) {
				t.Errorf("Untag: %v, want ErrUnsupported: %s", err, row.reason)
			}
			if err := c.Delete(t.Context(), "app", desc.Digest); !errors.Is(err, registry.ErrUnsupported) {
				t.Errorf("Delete: %v, want ErrUnsupported: %s", err, row.reason)
			}
			support, err := c.LearnUntag(t.Context(), "app", "1.0.0", desc.Digest)
			if support != v1alpha1.Unsupported || err != nil {
				t.Errorf("LearnUntag: %s, %v; want %s: %s", support, err, v1alpha1.Unsupported, row.reason)
			}
			wantAt(t, c, map[string]digest.Digest{"1.0.0": desc.Digest})
		})
	}
}

func TestI11MissingMeansDone(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	for range 2 {
		if err := c.Untag(t.Context(), "app", "1.0.0"); err != nil {
			t.Errorf("Untag: %v", err)
		}
	}
	for _, want := range []error{nil, registry.ErrNotFound} {
		if err := c.Delete(t.Context(), "app", desc.Digest); !errors.Is(err, want) {
			t.Errorf("Delete: %v, want %v", err, want)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{"page": html(http.StatusNotFound), "plain": http.NotFound, "other code": unknown("BLOB_UNKNOWN")} {
		r.Intercept(func(w http.ResponseWriter, req *http.Request) bool { answer(w, req); return true })
		if err := c.Untag(t.Context(), "app", "1.0.0"); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("%s: Untag behind an ingress without a registry: %v, want ErrUnavailable", name, err)
		}
		if err := c.Delete(t.Context(), "app", desc.Digest); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("%s: Delete behind an ingress without a registry: %v, want ErrUnavailable", name, err)
		}
	}
}

func TestUntagIsOneRequest(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	referrer, err := registrytest.PushReferrer(t.Context(), r.Host, "app", desc, "application/vnd.example.signature", []byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()); err != nil { // opens the connection and logs in
		t.Fatal(err)
	}
	rows := map[string]struct {
		reason string
		act    func() error
	}{
		"Untag":  {"the floor of a release", func() error { return c.Untag(t.Context(), "app", "1.0.0") }},
		"Delete": {"no referrers index is rewritten, though it has a subject", func() error { return c.Delete(t.Context(), "app", referrer.Digest) }},
	}
	for name, row := range rows {
		r.Forget()
		if err := row.act(); err != nil || r.Count(nil) != 1 {
			t.Errorf("%s: %d requests, %v; want 1: %s", name, r.Count(nil), err, row.reason)
		}
	}
}

func TestI5PutTagNeverOverwrites(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	newer := push(t, r.Host, "app", "1.0.0", "b")
	rows := map[string]struct {
		reason string
		d      digest.Digest
		want   error
	}{
		"taken": {"somebody pushed it since", desc.Digest, registry.ErrTagTaken},
		"there": {"it is back already", newer.Digest, nil},
	}
	for name, row := range rows {
		r.Forget()
		if _, err := c.PutTag(t.Context(), "app", "1.0.0", row.d); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v: %s", name, err, row.want, row.reason)
		}
		if n := r.Writes(); n != 0 {
			t.Errorf("%s: %d writes, want none", name, n)
		}
	}
	wantAt(t, c, map[string]digest.Digest{"1.0.0": newer.Digest})
}

func TestI5PutTagLooksAfterwards(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	if err := c.Untag(t.Context(), "app", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPut {
			return false
		}
		w.WriteHeader(http.StatusCreated) // stores nothing
		return true
	})
	if _, err := c.PutTag(t.Context(), "app", "1.0.0", desc.Digest); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("PutTag: %v, want ErrUnavailable: it is not back", err)
	}
}

func TestMoveTagTakesATagFromOneDigestOnly(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	old := push(t, r.Host, "app", "1.0.0", "a").Digest
	third := push(t, r.Host, "app", "2.0.0", "c").Digest
	rows := map[string]struct {
		reason string
		tag    string
		from   digest.Digest
		want   error
		at     digest.Digest
		writes int
	}{
		"there":   {"overwritten, as was seen", "b", "now", nil, old, 1},
		"moved":   {"somebody pushed it once more", "b", third, registry.ErrTagTaken, "now", 0},
		"came":    {"it was absent, and now it is there", "b", "", registry.ErrTagTaken, "now", 0},
		"back":    {"somebody was faster", "a", third, nil, old, 0},
		"absent":  {"as was seen", "", "", nil, old, 1},
		"went":    {"nothing is overwritten", "", third, nil, old, 1},
		"no tags": {"a digest is not one", "@", third, registry.ErrConfig, "", 0},
	}
	for name, row := range rows {
		tag := "moves"
		var now digest.Digest
		switch row.tag {
		case "@":
			tag = old.String()
		case "":
			if err := c.Untag(t.Context(), "app", tag); err != nil {
				t.Fatal(err)
			}
		default:
			now = push(t, r.Host, "app", tag, row.tag).Digest
		}
		named := func(d digest.Digest) digest.Digest {
			if d == "now" {
				return now
			}
			return d
		}
		r.Forget()
		if err := c.MoveTag(t.Context(), "app", tag, named(row.from), old); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v: %s", name, err, row.want, row.reason)
		}
		if n := r.Writes(); n != row.writes {
			t.Errorf("%s: %d writes, want %d: %s", name, n, row.writes, row.reason)
		}
		if row.at != "" {
			wantAt(t, c, map[string]digest.Digest{tag: named(row.at)})
		}
	}
}

func TestMoveTagLooksBeforeAndAfterwards(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	old := push(t, r.Host, "app", "1.0.0", "a").Digest
	now := push(t, r.Host, "app", "1.0.0", "b").Digest
	if err := c.MoveTag(t.Context(), "app", "1.0.0", now, digest.FromString("gone")); !errors.Is(err, registry.ErrNotFound) || r.Count(func(req *http.Request) bool {
		return req.Method == http.MethodPut && req.URL.Path == "/v2/app/manifests/1.0.0"
	}) != 2 {
		t.Errorf("MoveTag to what is gone: %v, want ErrNotFound and no third push", err)
	}
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPut {
			return false
		}
		w.WriteHeader(http.StatusCreated) // another client pushes right after this write
		return true
	})
	if err := c.MoveTag(t.Context(), "app", "1.0.0", now, old); !errors.Is(err, registry.ErrTagTaken) {
		t.Errorf("MoveTag: %v, want ErrTagTaken: it is not there", err)
	}
}

func TestI5PutTagOfWhatIsGone(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	if err := c.Delete(t.Context(), "app", desc.Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutTag(t.Context(), "app", "1.0.0", desc.Digest); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("PutTag: %v, want ErrNotFound", err)
	}
	m, err := registry.ParseManifest(ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"mediaType":"`+ocispec.MediaTypeImageManifest+`","config":`+one+`,"layers":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), "app", "2.0.0", m); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("Put without its layers: %v, want ErrNotFound", err)
	}
}

func TestPutChecksBytes(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	m, err := c.Manifest(t.Context(), "app", desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	r.Forget()
	other := digest.FromString("x").String()
	if err := c.Put(t.Context(), "app", other, m); !errors.Is(err, registry.ErrConfig) {
		t.Errorf("another digest: %v, want ErrConfig", err)
	}
	m.Bytes = append([]byte(" "), m.Bytes...)
	if err := c.Put(t.Context(), "app", "2.0.0", m); !errors.Is(err, registry.ErrConfig) {
		t.Errorf("other bytes: %v, want ErrConfig", err)
	}
	if n := r.Count(nil); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

// A wrong 404 must not cause a tag to be overwritten: the tag list must confirm the absence.
func TestI5WrongAbsenceOverwritesNoTag(t *testing.T) {
	t.Parallel()
	acts := map[string]func(*testing.T, *registry.Client, digest.Digest, registry.Manifest) error{
		"PutTag": func(t *testing.T, c *registry.Client, d digest.Digest, _ registry.Manifest) error {
			_, err := c.PutTag(t.Context(), "app", "1.0.0", d)
			return err
		},
		"MoveTag": func(t *testing.T, c *registry.Client, d digest.Digest, _ registry.Manifest) error {
			return c.MoveTag(t.Context(), "app", "1.0.0", "", d)
		},
		"Restore": func(t *testing.T, c *registry.Client, _ digest.Digest, m registry.Manifest) error {
			return c.Restore(t.Context(), "app", m, []string{"1.0.0"})
		},
	}
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c := start(t)
			old := push(t, r.Host, "app", "", "old")
			now := push(t, r.Host, "app", "1.0.0", "now")
			m, err := c.Manifest(t.Context(), "app", old.Digest)
			if err != nil {
				t.Fatal(err)
			}
			r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.HasSuffix(req.URL.Path, "/manifests/1.0.0") || req.Method == http.MethodPut {
					return false
				}
				registrytest.Fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "not here")
				return true
			})
			if err := act(t, c, old.Digest, m); !errors.Is(err, registry.ErrUnreadable) {
				t.Errorf("%v, want ErrUnreadable", err)
			}
			r.Intercept(nil)
			wantAt(t, c, map[string]digest.Digest{"1.0.0": now.Digest})
		})
	}
}
