package why

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestWhyAnArtifactStays(t *testing.T) {
	t.Parallel()
	since := metav1.NewTime(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC))
	mirror := &v1alpha1.ArtifactStore{Spec: v1alpha1.ArtifactStoreSpec{Purge: v1alpha1.PurgeSpec{GracePeriod: metav1.Duration{Duration: 24 * time.Hour}}}}
	suspended := mirror.DeepCopy()
	suspended.Spec.Purge.Suspend = true
	tests := map[string]struct {
		reason string
		status v1alpha1.MirrorStatus
		keep   bool
		mirror *v1alpha1.ArtifactStore
		kept   bool
		says   []string
	}{
		"Used": {"by whom and how", v1alpha1.MirrorStatus{Users: []v1alpha1.ArtifactUser{{Kind: "Deployment", Name: "upf", Detail: "container upf"}}, UserCount: 17, UsersReadAt: &since}, false, mirror, true,
			[]string{"deployments/ran/upf (container upf)", "used by 17 workloads", "16 more workloads", "2026-09-01T12:00:00Z"}},
		"Unused":    {"until when it stays and when the next purge comes", v1alpha1.MirrorStatus{UnusedSince: &since}, false, mirror, false, []string{"since 2026-09-01T12:00:00Z", "until 2026-09-02T12:00:00Z", `schedule "0 0 * * *"`}},
		"Suspended": {"no purge comes", v1alpha1.MirrorStatus{UnusedSince: &since}, false, suspended, false, []string{"No purge starts by schedule"}},
		"Kept":      {"somebody wants it", v1alpha1.MirrorStatus{UnusedSince: &since}, true, mirror, true, []string{"nfo.dev/keep"}},
		"Releasing": {"a purge has claimed it", v1alpha1.MirrorStatus{UnusedSince: &since, State: v1alpha1.MirrorReleasing}, false, mirror, false, []string{"A purge is removing it"}},
		"NotRead":   {"nothing is known yet", v1alpha1.MirrorStatus{}, false, mirror, true, []string{"has not read yet"}},
		"NoMirror":  {"the grace is not known", v1alpha1.MirrorStatus{UnusedSince: &since}, false, nil, false, []string{"grace period is not known"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "upf"}, Spec: v1alpha1.ArtifactSpec{SourceArtifact: "r.example/upf:1"}, Status: tc.status}
			if tc.keep {
				a.Annotations = map[string]string{v1alpha1.AnnotationKeep: ""}
			}
			var out strings.Builder
			got := aboutArtifact(a, tc.mirror)
			if err := got.write(&out); err != nil {
				t.Fatal(err)
			}
			if got.Kept != tc.kept {
				t.Errorf("%s: kept is %t", tc.reason, got.Kept)
			}
			for _, part := range append(tc.says, "artifacts/ran/upf (r.example/upf:1)") {
				if !strings.Contains(out.String(), part) {
					t.Errorf("%s: without %q:\n%s", tc.reason, part, out.String())
				}
			}
		})
	}
}
