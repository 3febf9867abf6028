package release

import (
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
)

// tombstoneOf is a tombstone with one entry that has these digests.
func tombstoneOf(uid types.UID, tag string, state v1alpha1.TombstoneState, digests ...string) v1alpha1.Tombstone {
	t := v1alpha1.Tombstone{Spec: v1alpha1.TombstoneSpec{
		Artifacts: []v1alpha1.TombstoneArtifact{{Repository: repo, Tag: tag, Digests: digests}},
	}}
	t.UID = uid
	t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: repo, Tag: tag, State: state})
	return t
}

func TestI5AnUndoTagStaysWhileAnEntryNeedsIt(t *testing.T) {
	t.Parallel()
	self := tombstoneOf("self", "1", v1alpha1.TombstoneRestoring, "sha256:a")
	both := tombstoneOf("self", "1", v1alpha1.TombstoneRestoring, "sha256:a")
	both.Spec.Artifacts = append(both.Spec.Artifacts, v1alpha1.TombstoneArtifact{Repository: repo, Tag: "2", Digests: []string{"sha256:a"}})
	elsewhere := tombstoneOf("other", "1", v1alpha1.TombstoneUntagged, "sha256:a")
	elsewhere.Spec.Artifacts[0].Repository = "acme/m/other"
	tests := map[string]struct {
		reason string
		own    v1alpha1.Tombstone
		others []v1alpha1.Tombstone
		want   bool
	}{
		"Alone":        {"nobody else has the digest", self, nil, false},
		"Sibling":      {"another tag of the same tombstone", both, nil, true},
		"Other":        {"the same tag in another tombstone", self, []v1alpha1.Tombstone{tombstoneOf("other", "1", v1alpha1.TombstoneUntagged, "sha256:a")}, true},
		"Kept":         {"an entry past its grace is restored like any", self, []v1alpha1.Tombstone{tombstoneOf("other", "2", v1alpha1.TombstoneKept, "sha256:a")}, true},
		"Earlier":      {"the digest is an earlier one of the entry", self, []v1alpha1.Tombstone{tombstoneOf("other", "2", v1alpha1.TombstonePending, "sha256:a", "sha256:b")}, true},
		"Consumed":     {"what is restored or purged needs nothing", self, []v1alpha1.Tombstone{tombstoneOf("other", "2", v1alpha1.TombstoneRestored, "sha256:a"), tombstoneOf("third", "3", v1alpha1.TombstonePurged, "sha256:a")}, false},
		"OtherDigest":  {"the undo tag is another one", self, []v1alpha1.Tombstone{tombstoneOf("other", "2", v1alpha1.TombstoneUntagged, "sha256:b")}, false},
		"OtherOfAName": {"the same digest in another repository has a tag there", self, []v1alpha1.Tombstone{elsewhere}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &undoTagRemover{tombstone: &tc.own, others: tc.others}
			if got := l.needed(tc.own.Spec.Artifacts[0], "sha256:a"); got != tc.want {
				t.Errorf("%s: needed = %t", tc.reason, got)
			}
		})
	}
}

func TestIsUndoTag(t *testing.T) {
	t.Parallel()
	const d = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	own := graph.UndoTag(d)
	tests := map[string]struct {
		reason string
		mode   v1alpha1.UndoMode
		tag    string
		want   bool
	}{
		"Ordinary":   {"a tag as any", v1alpha1.UndoQuarantineTag, "1.0.0", false},
		"Own":        {"the entry's tag is what keeps its digest", v1alpha1.UndoQuarantineTag, own, true},
		"OfAnother":  {"the form alone says nothing", v1alpha1.UndoQuarantineTag, "nfo-undo-ffffffffffff", false},
		"NotWanted":  {"where undo tags are not wanted it is a tag as any", v1alpha1.UndoUntagged, own, false},
		"NotDefault": {"an empty mode is the default", "", own, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &v1alpha1.ArtifactStore{}
			s.Spec.Purge.Undo = tc.mode
			f := Finding{ArtifactStatus: v1alpha1.ArtifactStatus{ArtifactVersion: tc.tag, Digest: d}}
			if got := isUndoTag(s, f); got != tc.want {
				t.Errorf("%s: isUndoTag = %t", tc.reason, got)
			}
		})
	}
}

// A restore of many tags may take longer than evidence counts. A tombstone that
// appears meanwhile may need the undo tag of a digest, which then must stay.
func TestI3UndoTagsAreRemovedOnFreshEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	w.keep(v1alpha1.UndoQuarantineTag)
	if _, err := w.releaser().Release(t.Context(), w.task()); err != nil {
		t.Fatal(err)
	}
	clock := testingclock.NewFakePassiveClock(time.Now())
	late := tombstoneOf("uid-of-late", "2", v1alpha1.TombstoneUntagged, w.digests["b"])
	late.Namespace, late.Name = "ns", "late"
	late.Spec.Manifest.Name, late.Spec.Artifacts[0].Repository = "m", "acme/m/b"
	removed := 0
	w.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodDelete {
			return false
		}
		if removed++; removed == 1 {
			clock.SetTime(clock.Now().Add(MaxEvidence))
			if err := w.api.Create(req.Context(), &late); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	r := w.releaser()
	r.Clock = clock
	var s v1alpha1.ArtifactStore
	if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, &s); err != nil {
		t.Fatal(err)
	}
	reg, err := r.Open(t.Context(), &s)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Restore(t.Context(), reg, &s, &w.tombstones()[0], func(v1alpha1.TombstoneArtifact) bool { return true }, nil)
	if err != nil || len(out.Back) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	w.quarantined("after the restore", "a", false)
	w.quarantined("after the restore", "b", true)
}
