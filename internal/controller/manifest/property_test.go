package manifest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/registry"
)

// decideManifest is total: any observation gives a verdict, and the same one each time. No verdict removes the finalizer
// or releases while a holder is known, drops a sealed digest, or overwrites a tag without an order and a poll of it.
func TestI1DecideIsTotal(t *testing.T) {
	t.Parallel()
	states := []v1alpha1.TombstoneState{v1alpha1.TombstonePending, v1alpha1.TombstoneUntagged, v1alpha1.TombstoneRestoring, v1alpha1.TombstoneRestored, v1alpha1.TombstoneSweeping, v1alpha1.TombstonePurged, v1alpha1.TombstoneKept}
	causes := []v1alpha1.Cause{v1alpha1.CauseReleased, v1alpha1.CauseRemoved, v1alpha1.CauseOverwritten, v1alpha1.CauseFound}
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 7))
		coin := func() bool { return r.IntN(2) == 0 }
		seen := observed(func(s *manifestSeen) {
			if coin() {
				now := metav1.Unix(1000, 0)
				s.manifest.DeletionTimestamp = &now
			}
			if coin() {
				s.holders = holders
			}
			if coin() {
				s.manifest.Spec.Artifacts = nil
			}
			if r.IntN(4) == 0 {
				s.manifest.Spec.UploadPath = v1alpha1.StoreScoped
			}
			if coin() {
				s.manifest.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
			}
			if coin() {
				asking([]string{sealedAt, intruder, "sha256:a"}[r.IntN(3)])(s)
			}
			s.manifest.Status.Artifacts = [][]v1alpha1.ArtifactStatus{nil, {present(sealedAt)}, {tagGone(sealedAt)}, {tagGone("")}, {drifted(intruder)}, {goneFrom(intruder)}}[r.IntN(6)]
			if coin() && len(s.manifest.Status.Artifacts) > 0 { // recorded at another place of the store
				s.manifest.Status.Artifacts[0].Repository = []string{"acme/nginx", "acme/m2/nginx"}[r.IntN(2)]
			}
			if coin() {
				s.running = holders
			}
			s.polled = coin()
			if s.polled && coin() {
				s.tags[listed] = tagSeen{there: coin(), digest: []string{sealedAt, intruder, third}[r.IntN(3)]}
			}
			switch r.IntN(6) {
			case 0:
				s.store = nil
			case 1:
				s.inert = &metav1.Condition{Reason: "X"}
			case 2:
				s.trouble = registry.ErrDenied
			}
			for i := range r.IntN(3) {
				s.tombstones = append(s.tombstones, grave(causes[r.IntN(4)], states[r.IntN(7)], int64(i)))
			}
		})
		v := decideManifest(seen)
		if diff := cmp.Diff(outlineOf(v), outlineOf(decideManifest(seen))); diff != "" {
			t.Fatalf("seed %d: two verdicts for one observation:\n%s", seed, diff)
		}
		scoped := seen.manifest.Spec.UploadPath != v1alpha1.StoreScoped
		if scoped && len(seen.holders) > 0 && (v.letGo || v.release != nil) {
			t.Fatalf("seed %d: a held manifest is released", seed)
		}
		if !scoped && v.release != nil && len(v.release.Entries) > 0 && seen.manifest.DeletionTimestamp != nil {
			t.Fatalf("seed %d: a store-scoped manifest is released", seed)
		}
		for _, e := range v.reseat {
			if _, looked := seen.tags[inventory.KeyOf(e)]; !looked || !inventory.Sealed(seen.manifest) || seen.manifest.Annotations[v1alpha1.AnnotationRestoreDigest] != e.Digest {
				t.Fatalf("seed %d: a tag is put back that nobody asked for, or that was not looked at", seed)
			}
		}
		if was := seen.manifest.Status.Artifacts; inventory.Sealed(seen.manifest) && len(was) > 0 && was[0].Digest != "" && len(v.artifacts) > 0 &&
			v.artifacts[0].Repository == was[0].Repository && v.artifacts[0].Digest != was[0].Digest {
			t.Fatalf("seed %d: a sealed digest is forgotten", seed)
		}
		if v.release != nil && v.release.Cause == v1alpha1.CauseRemoved && slices.ContainsFunc(v.release.Entries, func(a v1alpha1.ArtifactStatus) bool { return !location.Owns("m", a.Repository) }) {
			t.Fatalf("seed %d: an entry outside of the manifest's path is released", seed)
		}
	}
}
