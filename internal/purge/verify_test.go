package purge

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// indexOf pushes, as another client, an index of an existing digest.
func (w *world) indexOf(repository, tag string, child digest.Digest) {
	w.t.Helper()
	m, err := w.client.Manifest(w.t.Context(), repository, child)
	w.must(err)
	body, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{m.Descriptor}})
	w.must(err)
	index, err := registry.ParseManifest(ocispec.MediaTypeImageIndex, body)
	w.must(err)
	w.must(w.client.Put(w.t.Context(), repository, tag, index))
	w.digest[tag] = index.Descriptor.Digest
}

// whole fails the test unless a tag and all children of its index exist.
func (w *world) whole(repository, tag string) {
	w.t.Helper()
	desc, err := w.client.Resolve(w.t.Context(), repository, tag)
	w.must(err)
	m, err := w.client.Manifest(w.t.Context(), repository, desc.Digest)
	w.must(err)
	for _, c := range m.Children {
		if _, err := w.client.Manifest(w.t.Context(), repository, c.Digest); err != nil {
			t := w.t
			t.Errorf("%s:%s cannot be pulled: %v", repository, tag, err)
		}
	}
}

func TestI1VerifyPutsBackWhatALatePushNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.hooks.onDelete = func(_ string, x digest.Digest) {
		if x == w.digest["amd64"] { // after the evidence was read
			w.indexOf(web, "late", x)
		}
	}
	report, err := w.run()
	if !errors.Is(err, ErrPutBack) || !strings.Contains(err.Error(), `tag "late"`) {
		t.Errorf("the error is %v, want ErrPutBack that names the tag", err)
	}
	w.whole(web, "late")
	w.shows(append([]string{"amd64"}, stayed...), []string{"image", "index", "arm64"})
	if got := w.verdict(report, "amd64"); got != "keep Tagged" || report.Outcome != v1alpha1.PurgeFailed || report.Deleted != 5 {
		t.Errorf("the verdict on what was put back is %q: %s", got, report.Summary())
	}
	if state, reason := w.state("t1", web, "2.0.0"); state != v1alpha1.TombstoneKept || !strings.Contains(reason, "put back") {
		t.Errorf("the entry is %s, %s", state, reason)
	}
	if run, _ := w.lastPurge(); run.Outcome != v1alpha1.PurgeFailed || !strings.Contains(run.Message, "put back") {
		t.Errorf("lastPurge is %+v", run)
	}
	w.hooks.onDelete = nil
	_, err = w.run()
	w.must(err)
	w.whole(web, "late")
}

func TestI1VerifyPutsBackWhatTheRegistryTookAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.indexOf(web, "sibling", w.digest["amd64"])
	w.hooks.onDelete = func(_ string, x digest.Digest) {
		if x == w.digest["index"] { // a registry that removes children with their index
			w.must(w.client.Delete(context.WithoutCancel(t.Context()), web, w.digest["amd64"]))
		}
	}
	if _, err := w.run(); !errors.Is(err, ErrPutBack) {
		t.Errorf("the error is %v, want ErrPutBack", err)
	}
	w.whole(web, "sibling")
	w.shows(append([]string{"amd64"}, stayed...), []string{"image", "index", "arm64"})
}

func TestI1VerifyPutsBackAllWhenATagLeadsNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	deleted := false
	w.hooks.onDelete = func(_ string, x digest.Digest) { deleted = deleted || x == w.digest["index"] }
	// A registry that leaves tags behind: it is no longer known which digest such a tag was set to.
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !deleted || !strings.HasPrefix(r.URL.Path, "/v2/"+web+"/tags/") {
			return false
		}
		_, _ = rw.Write([]byte(`{"name":"` + web + `","tags":["ghost"]}`))
		return true
	})
	report, err := w.run()
	if !errors.Is(err, ErrPutBack) || !strings.Contains(err.Error(), `tag "ghost" leads nowhere`) {
		t.Errorf("the error is %v", err)
	}
	w.shows(append([]string{"index"}, stayed...), []string{"image"})
	if got := w.verdict(report, "index"); got != "keep Tagged" {
		t.Errorf("the verdict is %q", got)
	}
}

// A manifest is applied again, and its tag is pushed again, during the deletion.
func TestI1VerifyPutsBackTheTagOfAManifestThatIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.hooks.onDelete = func(_ string, x digest.Digest) {
		if x == w.digest["image"] {
			w.must(w.raw.Create(context.WithoutCancel(t.Context()), aManifest(lists("1.0.0"))))
			w.tag(repo, "1.0.0", "image") // it is deleted with the digest
		}
	}
	if _, err := w.run(); !errors.Is(err, ErrPutBack) || !strings.Contains(err.Error(), "lists 1.0.0") {
		t.Errorf("the error is %v, want ErrPutBack that names the manifest", err)
	}
	w.whole(repo, "1.0.0")
	if state, reason := w.state("t1", repo, "1.0.0"); state != v1alpha1.TombstoneKept || !strings.Contains(reason, "put back") {
		t.Errorf("the entry is %s, %s", state, reason)
	}
}

// The digests of two releases of one tag are deleted while the manifest is applied again.
// The tag is restored at the digest that was released last, as a restore would do.
func TestI5VerifyPutsATagBackAtItsLastRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.push("newer", "")
	w.push("newest", "")
	older := w.tombstone("t4", in(repo, v1alpha1.TombstoneKept, 27, "1.0.0", w.digest["newer"].String()))
	newest := w.tombstone("t5", in(repo, v1alpha1.TombstoneUntagged, 26, "1.0.0", w.digest["newest"].String()))
	w.must(w.raw.Create(t.Context(), older))
	w.must(w.raw.Create(t.Context(), newest))
	deleted := 0
	w.hooks.onDelete = func(_ string, x digest.Digest) {
		if x != w.digest["image"] && x != w.digest["newer"] && x != w.digest["newest"] {
			return
		}
		if deleted++; deleted == 3 {
			w.must(w.raw.Create(context.WithoutCancel(t.Context()), aManifest(lists("1.0.0"))))
		}
	}
	if _, err := w.run(); !errors.Is(err, ErrPutBack) {
		t.Errorf("the error is %v, want ErrPutBack", err)
	}
	if desc, err := w.client.Resolve(t.Context(), repo, "1.0.0"); err != nil || desc.Digest != w.digest["newest"] {
		t.Errorf("the tag is at %s (%v), and what was released last is %s", desc.Digest, err, w.digest["newest"])
	}
	w.shows([]string{"image", "newer", "newest"}, nil)
}

func TestVerifySaysWhatItCouldNotPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.hooks.onDelete = func(_ string, x digest.Digest) {
		if x == w.digest["amd64"] {
			w.indexOf(web, "late", x)
		}
	}
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "sha256:") {
			return false
		}
		rw.WriteHeader(http.StatusForbidden)
		return true
	})
	_, err := w.run()
	if !errors.Is(err, ErrPutBack) || !strings.Contains(err.Error(), w.digest["amd64"].String()+" is LOST") || errors.Is(err, registry.ErrDenied) {
		t.Errorf("the error is %v", err)
	}
	w.hooks.onDelete = nil
	for range 2 { // the next run must not forget it
		var ts v1alpha1.Tombstone
		w.must(w.get(&ts, "t1"))
		if e := ts.Entry(web, "2.0.0"); e.State != v1alpha1.TombstoneKept || !strings.HasPrefix(e.Reason, "Lost") || ts.Status.Conditions[0].Reason != v1alpha1.ReasonLost {
			t.Errorf("the entry is %+v, %+v", e, ts.Status.Conditions)
		}
		_, err = w.run()
		w.must(err)
	}
}

func TestI2VerifyThatCannotLookIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var looks atomic.Int64
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v2/"+repo+"/tags/") {
			return false
		}
		if looks.Add(1) < 3 { // for the plan, the evidence, and the verification
			return false
		}
		rw.WriteHeader(http.StatusForbidden)
		return true
	})
	report, err := w.run()
	if !errors.Is(err, registry.ErrDenied) || !strings.Contains(err.Error(), "still be pulled") || report.Outcome != v1alpha1.PurgeFailed {
		t.Errorf("the error is %v: %s", err, report.Summary())
	}
}

// An undo tag is deleted with its digest, and protects nothing from a purge.
func TestSweepRemovesUndoTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tag := "nfo-undo-" + w.digest["image"].Encoded()[:12]
	w.tag(repo, tag, "image")
	w.tag(repo, "nfo-undo-"+w.digest["grace"].Encoded()[:12], "grace")
	w.tag(repo, "nfo-undo-000000000000", "tagged") // not nfo's tag: the name is of another digest
	w.must(w.client.Untag(t.Context(), repo, "handmade"))
	_, err := w.run()
	w.must(err)
	w.shows(stayed, gone)
	tags, err := w.client.Tags(t.Context(), repo)
	w.must(err)
	for _, got := range tags {
		if got == tag {
			t.Errorf("the tag %s is left", tag)
		}
	}
	if len(tags) != 3 {
		t.Errorf("the tags are %v", tags)
	}
}
