package controller

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestLeanChangesNothingButManagedFields(t *testing.T) {
	t.Parallel()
	meta := metav1.ObjectMeta{Name: "m", Finalizers: []string{v1alpha1.Finalizer}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}}
	said := func() []metav1.Condition {
		return []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Complete", Message: strings.Clone("All is there.")}}
	}
	for name, o := range map[string]client.Object{
		"Manifest":   &v1alpha1.ArtifactManifest{ObjectMeta: meta, Status: v1alpha1.ArtifactManifestStatus{Conditions: said(), Artifacts: []v1alpha1.ArtifactStatus{{MediaType: "a/b"}}}},
		"Definition": &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: meta, Status: v1alpha1.DefinitionStatus{VersionStatus: v1alpha1.VersionStatus{Conditions: said()}}},
		"Tombstone":  &v1alpha1.Tombstone{ObjectMeta: meta, Status: v1alpha1.TombstoneStatus{Conditions: said()}},
		"Store":      &v1alpha1.ArtifactStore{ObjectMeta: meta},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := o.DeepCopyObject().(client.Object)
			want.SetManagedFields(nil)
			got, err := lean(o)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("the cache has another object than the API server (-want +got, %v):\n%s", err, diff)
			}
		})
	}
}

func TestLeanKeepsEqualWordsOnce(t *testing.T) {
	t.Parallel()
	words := func() *byte {
		m := &v1alpha1.ArtifactManifest{}
		m.Status.Conditions = []metav1.Condition{{Message: strings.Clone("All is there.")}}
		if _, err := lean(m); err != nil {
			t.Fatal(err)
		}
		return unsafe.StringData(m.Status.Conditions[0].Message)
	}
	if one, other := words(), words(); one != other {
		t.Error("two objects that say the same keep it twice")
	}
}
