package mirror

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/workload"
)

// upf is an image that the mirror has.
const upf = "r.example/acme/upf:1"

func readAgo(hours int) func(*v1alpha1.ArtifactStore) {
	return func(s *v1alpha1.ArtifactStore) {
		s.Status.Workloads = &v1alpha1.WorkloadsStatus{ObservedAt: *ago(hours)}
	}
}

func TestWhyAnArtifactStays(t *testing.T) {
	t.Parallel()
	base := func(change func(*v1alpha1.Artifact)) mirroredImage {
		a := &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "a", UID: "a"}, Spec: v1alpha1.ArtifactSpec{SourceArtifact: upf}}
		a.Status.UnusedSince = ago(30)
		change(a)
		i, err := mirroredImage{Artifact: a}, error(nil)
		i.image, err = rewrite.Parse(a.Spec.SourceArtifact)
		i.invalid = err
		return i
	}
	use := func(namespace, tag, digest string) map[workload.Use]bool {
		return map[workload.Use]bool{{Holder: reference.Object{Kind: "Deployment", Namespace: namespace, Name: "web"}, Repository: "r.example/acme/upf", Tag: tag, Digest: digest}: true}
	}
	d1 := d("one").String()
	tests := map[string]struct {
		reason string
		change func(*v1alpha1.Artifact)
		uses   map[workload.Use]bool
		want   plan.Reason
		// read is how many hours ago the manager read the uses.
		read int
	}{
		"Unneeded":  {"nothing uses it for longer than the grace", func(*v1alpha1.Artifact) {}, nil, plan.Unneeded, 0},
		"Lapsed":    {"nobody knows whether it was used since", func(*v1alpha1.Artifact) {}, nil, plan.GracePeriod, 3},
		"InUse":     {"by its tag, whatever the status says", func(*v1alpha1.Artifact) {}, use("ran", "1", ""), plan.InUse, 0},
		"Digest":    {"by its digest", func(a *v1alpha1.Artifact) { a.Status.Digest = d1 }, use("ran", "", d1), plan.InUse, 0},
		"Pinned":    {"a tag beside a digest is for people", func(a *v1alpha1.Artifact) { a.Spec.SourceArtifact = upf + "@" + d1 }, use("ran", "1", ""), plan.Unneeded, 0},
		"Elsewhere": {"another namespace has its own", func(*v1alpha1.Artifact) {}, use("core", "1", ""), plan.Unneeded, 0},
		"InGrace":   {"not for long enough", func(a *v1alpha1.Artifact) { a.Status.UnusedSince = ago(23) }, nil, plan.GracePeriod, 0},
		"NotSeen":   {"the manager has not looked yet", func(a *v1alpha1.Artifact) { a.Status.UnusedSince = nil }, nil, plan.GracePeriod, 0},
		"Kept":      {"somebody wants it", func(a *v1alpha1.Artifact) { a.Annotations = map[string]string{v1alpha1.AnnotationKeep: "no"} }, nil, plan.Kept, 0},
		"NoImage":   {"what it is of is unknown", func(a *v1alpha1.Artifact) { a.Spec.SourceArtifact = "UPF" }, nil, plan.Unreadable, 0},
		"Deleting":  {"somebody else deletes it", func(a *v1alpha1.Artifact) { a.DeletionTimestamp = ago(1) }, nil, plan.Held, 0},
		"Ending":    {"its namespace ends", func(a *v1alpha1.Artifact) { a.Namespace = "ending" }, nil, plan.NamespaceTerminating, 0},
		"Claimed":   {"by a purge that died", func(a *v1alpha1.Artifact) { a.Status.State = v1alpha1.MirrorReleasing }, nil, plan.Unneeded, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mirrored{Cluster: plan.Cluster{Store: aStore(readAgo(tc.read)), Now: now}, ending: map[string]bool{"ending": true}, own: workload.NewReading(now, tc.uses).ByNamespace()}
			if got := m.judge(base(tc.change)); got.Reason != tc.want || got.Delete != (tc.want == plan.Unneeded) || got.Message == "" {
				t.Errorf("%s: %+v", tc.reason, got)
			}
		})
	}
}
