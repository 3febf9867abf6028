package purge

import (
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// Repositories without tombstones are read only if the store's usage is compared
// with something. Both ways delete the same, and detect the same lost undos.
func TestPurgeReadsOnlyWhatConcernsIt(t *testing.T) {
	t.Parallel()
	const live, grace = "acme/cnf/live", "acme/cnf/grace"
	full := resource.NewQuantity(1, resource.BinarySI)
	for name, tc := range map[string]struct {
		reason string
		change func(*v1alpha1.ArtifactStore)
		all    bool
	}{
		"Nothing":   {"nothing is compared", func(*v1alpha1.ArtifactStore) {}, false},
		"Capacity":  {"usage is shown as a part of it", func(s *v1alpha1.ArtifactStore) { s.Spec.Capacity = full }, true},
		"Threshold": {"a purge starts at it", func(s *v1alpha1.ArtifactStore) { s.Spec.Capacity, s.Spec.Purge.ThresholdPercent = full, 1 }, true},
		"Target":    {"a purge ends at it", func(s *v1alpha1.ArtifactStore) { s.Spec.Capacity, s.Spec.Purge.TargetPercent = full, 1 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *v1alpha1.ArtifactStore) {
				s.Status.Usage = &v1alpha1.StoreUsage{Source: v1alpha1.UsageAccounted, UsedBytes: 1, MeasuredAt: *ago(24)}
				tc.change(s)
			})
			image, err := registrytest.PushImage(t.Context(), w.Host, live, "1", "elsewhere")
			w.must(err)
			w.must(w.raw.Create(t.Context(), aManifest(func(m *v1alpha1.ArtifactManifest) {
				m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "live", ArtifactVersion: "1"}}
				m.Status.Artifacts = []v1alpha1.ArtifactStatus{{
					ArtifactName: "live", ArtifactVersion: "1", Repository: live, Digest: image.Digest.String(), State: v1alpha1.ArtifactPresent,
				}}
			})))
			w.must(w.raw.Create(t.Context(), w.tombstone("t4", in(grace, v1alpha1.TombstoneUntagged, 2, "1", "never pushed"))))
			w.Forget()

			report, err := w.run()
			w.must(err)
			w.shows(stayed, gone)
			reads := w.Count(func(r *http.Request) bool {
				return strings.HasPrefix(r.URL.Path, "/v2/"+live+"/") && strings.Contains(r.URL.Path, "/manifests/")
			})
			if (reads > 0) != tc.all || report.AtMost == tc.all || strings.Contains(report.Summary(), "at most") == tc.all || report.Reclaimed == 0 {
				t.Errorf("%s: %d image manifests were read that no tombstone concerns; %s", tc.reason, reads, report.Summary())
			}
			if state, why := w.state("t4", grace, "1"); state != v1alpha1.TombstoneUntagged || !strings.HasPrefix(why, v1alpha1.ReasonUndoLost) {
				t.Errorf("%s: the undo that is lost is %s %q", tc.reason, state, why)
			}
			var s v1alpha1.ArtifactStore
			w.must(w.get(&s, "acme"))
			if u := s.Status.Usage; (u != nil) != tc.all || (u != nil && u.MeasuredAt.Equal(ago(24))) {
				t.Errorf("%s: the store says of its usage %+v", tc.reason, u)
			}
		})
	}
}
