package manifest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
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

// A release is interrupted after it has removed the tags, and then a holder appears. The first pass reports the holder
// and fails to restore the tags. The second pass restores them, and has the same status: its event must be recorded.
func TestARestoreInTheSecondPassHasItsEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready()
	w.remove()
	w.Crash.Set(4, false) // the tombstone, a tag, what the store can do, the other tag
	w.passes(1)
	w.Crash.Set(-1, false)
	w.restart()
	w.tags("", "")
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: passtest.Meta("d")}
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{Name: "app"}}
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: "m"}
	if err := w.API.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.Crash.Set(0, true) // the claim of the tombstone is a conflict
	w.passes(1)
	w.says("DeletionBlocked=True/InUse")
	w.tags("", "")
	for len(w.Events.Events) > 0 {
		<-w.Events.Events
	}
	before := w.manifest().ResourceVersion
	w.passes(1)
	w.tags(w.digests["acme/m/a"][0], w.digests["acme/m/b"][0])
	if now := w.manifest().ResourceVersion; now != before {
		t.Error("the second pass changed the status, so that this test shows nothing")
	}
	if len(w.Events.Events) == 0 {
		t.Fatal("no event says that tags were restored")
	}
	if said := <-w.Events.Events; !strings.Contains(said, v1alpha1.ReasonRestored+" Restored 2 tags") {
		t.Errorf("the event says %s", said)
	}
}
