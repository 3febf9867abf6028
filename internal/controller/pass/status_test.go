package pass

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestGoesUnprotected(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason     string
		deleting   bool
		finalizers []string
		want       bool
	}{
		"Last":    {"nothing else keeps it", true, []string{v1alpha1.Finalizer}, true},
		"Another": {"it stays, and people read its status", true, []string{v1alpha1.Finalizer, "example.com/keep"}, false},
		"Other":   {"what keeps it is not ours", true, []string{"example.com/keep"}, false},
		"None":    {"it is gone already", true, nil, false},
		"Alive":   {"nobody deletes it", false, []string{v1alpha1.Finalizer}, false},
	} {
		o := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Finalizers: tc.finalizers}}
		if tc.deleting {
			o.DeletionTimestamp = new(metav1.Now())
		}
		if got := GoesUnprotected(o); got != tc.want {
			t.Errorf("%s: %t, want %t: %s", name, got, tc.want, tc.reason)
		}
	}
}
