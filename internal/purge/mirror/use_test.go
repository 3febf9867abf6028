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
	}{
		"Unneeded":  {"nothing uses it for longer than the grace", func(*v1alpha1.Artifact) {}, nil, plan.Unneeded},
		"InUse":     {"by its tag, whatever the status says", func(*v1alpha1.Artifact) {}, use("ran", "1", ""), plan.InUse},
		"Digest":    {"by its digest", func(a *v1alpha1.Artifact) { a.Status.Digest = d1 }, use("ran", "", d1), plan.InUse},
		"Pinned":    {"a tag beside a digest is for people", func(a *v1alpha1.Artifact) { a.Spec.SourceArtifact = upf + "@" + d1 }, use("ran", "1", ""), plan.Unneeded},
		"Elsewhere": {"another namespace has its own", func(*v1alpha1.Artifact) {}, use("core", "1", ""), plan.Unneeded},
		"InGrace":   {"not for long enough", func(a *v1alpha1.Artifact) { a.Status.UnusedSince = ago(23) }, nil, plan.GracePeriod},
		"NotSeen":   {"the manager has not looked yet", func(a *v1alpha1.Artifact) { a.Status.UnusedSince = nil }, nil, plan.GracePeriod},
		"Kept":      {"somebody wants it", func(a *v1alpha1.Artifact) { a.Annotations = map[string]string{v1alpha1.AnnotationKeep: "no"} }, nil, plan.Kept},
		"NoImage":   {"what it is of is unknown", func(a *v1alpha1.Artifact) { a.Spec.SourceArtifact = "UPF" }, nil, plan.Unreadable},
		"Deleting":  {"somebody else deletes it", func(a *v1alpha1.Artifact) { a.DeletionTimestamp = ago(1) }, nil, plan.Held},
		"Ending":    {"its namespace ends", func(a *v1alpha1.Artifact) { a.Namespace = "ending" }, nil, plan.NamespaceTerminating},
		"Claimed":   {"by a purge that died", func(a *v1alpha1.Artifact) { a.Status.State = v1alpha1.MirrorReleasing }, nil, plan.Unneeded},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mirrored{Cluster: plan.Cluster{Store: aStore(), Now: now}, ending: map[string]bool{"ending": true}, own: workload.NewReading(now, tc.uses).ByNamespace()}
			if got := m.judge(base(tc.change)); got.Reason != tc.want || got.Delete != (tc.want == plan.Unneeded) || got.Message == "" {
				t.Errorf("%s: %+v", tc.reason, got)
			}
		})
	}
}
