package manifest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// A different digest is pushed to a tag before its manifest is applied again. The released digest must not
// come back when that tag is removed months later. Its grace period begins again when it is passed over.
func TestI5AnUndoThatWasPassedOverComesToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.passes(3)
	first := w.At(t, "acme/m/a", "1")
	w.remove()
	w.passes(8)
	if w.manifest() != nil {
		t.Fatal("the manifest is still there")
	}
	released := w.Tombstones(t)[0]
	w.r.Releaser.Now = func() time.Time { return time.Now().Add(time.Hour) }
	second := w.push("a", "second")
	w.apply(func(*v1alpha1.ArtifactManifest) {})
	w.passes(4)
	over := w.Tombstones(t)
	if len(over) != 1 || over[0].Name != released.Name {
		t.Fatalf("the tombstones are %v, want that of the release alone", over)
	}
	entry, was := over[0].Entry("acme/m/a", "1"), released.Entry("acme/m/a", "1")
	if !strings.HasPrefix(entry.Reason, v1alpha1.ReasonTagTaken) || entry.State != v1alpha1.TombstoneUntagged {
		t.Errorf("the undo of a says %+v", entry)
	}
	if !was.UntaggedAt.Before(entry.UntaggedAt) || !released.Status.RestorableUntil.Before(over[0].Status.RestorableUntil) {
		t.Errorf("its grace is from %s until %s, as before", entry.UntaggedAt, over[0].Status.RestorableUntil)
	}
	w.tags(second, w.digests["acme/m/b"][0])

	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+w.Host+"/v2/acme/m/a/manifests/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	w.passes(4)
	w.says("Uploaded=False/Missing")
	if at := w.At(t, "acme/m/a", "1"); at != "" {
		t.Errorf("the tag of a is back at %s (released was %s)", at, first)
	}
}
