package images

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func TestWhatASiteNeeds(t *testing.T) {
	t.Parallel()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	artifact := func(namespace, image string, unused bool) client.Object {
		a := &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.ArtifactName(image)}, Spec: v1alpha1.ArtifactSpec{SourceArtifact: image}}
		a.Status.State, a.Status.UserCount = v1alpha1.MirrorPresent, 2
		if unused {
			a.Status.UserCount, a.Status.UnusedSince = 0, new(metav1.NewTime(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)))
		}
		return a
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(artifact("ran", "r.example/upf:1", false), artifact("core", "r.example/upf:1", true), artifact("ran", "docker.io/library/nginx:1", false)).Build()
	for name, tc := range map[string]struct {
		reason, namespace, format string
		unused                    bool
		want                      string
	}{
		"Names":     {"each reference once, for other programs", "", "name", false, "docker.io/library/nginx:1\nr.example/upf:1\n"},
		"Namespace": {"of one namespace", "core", "name", false, "r.example/upf:1\n"},
		"Unused":    {"what nothing uses", "", "name", true, "r.example/upf:1\n"},
		"Table": {"for people", "", "table", false, "IMAGE                      NAMESPACE  STATE    USERS  UNUSED SINCE\ndocker.io/library/nginx:1  ran        Present  2      -\n" +
			"r.example/upf:1            core       Present  0      2026-09-01T12:00:00Z\nr.example/upf:1            ran        Present  2      -\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := needed(t.Context(), api, tc.namespace, tc.unused)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := writeMirrored(&out, tc.format, all); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}
