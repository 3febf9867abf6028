package manifest

import (
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/release"
)

// A pass that comes again at once writes nothing, for then it would find its own write unread: many manifests wait for a
// place in a registry at the same time.
func TestWhatComesAgainAtOnceIsNotReported(t *testing.T) {
	t.Parallel()
	free, late := deleting(func(*manifestSeen) {}), manifestDone{release: release.Released{Holders: holders}}
	used := deleting(func(s *manifestSeen) { s.holders = holders })
	for name, tc := range map[string]struct {
		reason string
		seen   manifestSeen
		done   manifestDone
		err    error
		silent bool
		says   string
	}{
		"Busy":    {"it waits for a place", free, manifestDone{}, lane.ErrBusy, true, ""},
		"Lags":    {"the cache lags behind", free, manifestDone{}, reference.ErrSuperseded, true, ""},
		"Failed":  {"a person may have to do something", free, manifestDone{}, registry.ErrUnavailable, false, "Unavailable"},
		"Claimed": {"a purge may take an hour", free, manifestDone{}, release.ErrClaimed, false, "Pending"},
		"Late":    {"a person has to know what holds it", free, late, reference.ErrSuperseded, false, "InUse"},
		"Held":    {"whatever is to be put back", used, manifestDone{}, release.ErrClaimed, false, "InUse"},
		"Kept":    {"that it is held says nothing of the registry", used, manifestDone{}, registry.ErrUnavailable, false, "Unavailable"},
		"Done":    {"it is released", free, manifestDone{}, nil, false, "Released"},
	} {
		v := decideManifest(tc.seen).after(tc.seen, tc.done, tc.err)
		if v.silent != tc.silent {
			t.Errorf("%s: silent is %t, want %t: %s", name, v.silent, tc.silent, tc.reason)
		}
		var cs []metav1.Condition
		v.conditions.Apply(&cs, 1)
		blocked := apimeta.FindStatusCondition(cs, v1alpha1.ConditionDeletionBlocked)
		if tc.says != "" && (blocked == nil || blocked.Reason != tc.says) {
			t.Errorf("%s: DeletionBlocked is %v, want %s: %s", name, blocked, tc.says, tc.reason)
		}
		if len(v.holders) > 0 && blocked != nil && strings.Contains(blocked.Message, "Nothing holds it") {
			t.Errorf("%s: it says that %s", name, blocked.Message)
		}
	}
}

// Nobody is asked to push what a tombstone gives back, only what it does not, whatever becomes of the others.
func TestNobodyIsAskedToPushWhatIsRestored(t *testing.T) {
	t.Parallel()
	two := observed(func(s *manifestSeen) {
		s.manifest.Spec.Artifacts = append(s.manifest.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "other", ArtifactVersion: "1.0.0"})
		s.tags[listed], s.tags[inventory.Entry{Name: "other", Version: "1.0.0"}] = tagSeen{}, tagSeen{}
		s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10)}
	})
	one := observed(func(s *manifestSeen) {
		s.tags[listed] = tagSeen{}
		s.tombstones = two.tombstones
	})
	for name, tc := range map[string]struct {
		seen manifestSeen
		done manifestDone
		want string
	}{
		"All":   {one, manifestDone{}, "Restoring: nfo restores 1 of 1 tags from tombstones. Nothing needs to be pushed."},
		"Other": {two, manifestDone{}, "Missing: 1 of 2 artifacts are not in the registry: acme/m/other:1.0.0. Push them to these paths."},
		"Lost":  {one, manifestDone{undone: release.Undone{Lost: []string{repo + ":1.0.0"}}}, "Missing: 1 of 1 artifacts are not in the registry: " + repo + ":1.0.0. Push them to these paths."},
	} {
		v := decideManifest(tc.seen).after(tc.seen, tc.done, nil)
		var cs []metav1.Condition
		v.conditions.Apply(&cs, 1)
		if c := apimeta.FindStatusCondition(cs, v1alpha1.ConditionUploaded); c.Reason+": "+c.Message != tc.want {
			t.Errorf("%s: it says %s: %s; want %s", name, c.Reason, c.Message, tc.want)
		}
	}
}

// An undo is no alarm: of a manifest that is applied again its events say that it is restored, and warn of nothing.
func TestAnUndoWarnsOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.released()
	for len(w.Events.Events) > 0 {
		<-w.Events.Events
	}
	w.apply(func(*v1alpha1.ArtifactManifest) {})
	w.settle("Ready=True/Ready", "Uploaded=True/Complete")
	restored := false
	for len(w.Events.Events) > 0 {
		e := <-w.Events.Events
		restored = restored || strings.HasPrefix(e, "Normal Restored")
		if strings.HasPrefix(e, "Warning") || strings.Contains(e, "Push") {
			t.Errorf("an event of the undo is %q", e)
		}
	}
	if !restored {
		t.Error("no event says that tags are restored")
	}
}
