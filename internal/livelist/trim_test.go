package livelist

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestTrim(t *testing.T) {
	t.Parallel()
	full := func() metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: "o", UID: "u", Generation: 3, Finalizers: []string{v1alpha1.Finalizer}, Labels: map[string]string{"a": "b"},
			Annotations:     map[string]string{v1alpha1.AnnotationExpireNow: "", "nfo.dev/other": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
			OwnerReferences: []metav1.OwnerReference{{Name: "p"}},
		}
	}
	trimmed := metav1.ObjectMeta{Name: "o", UID: "u", Generation: 3, Finalizers: []string{v1alpha1.Finalizer}, Annotations: map[string]string{v1alpha1.AnnotationExpireNow: ""}}
	spec := v1alpha1.ArtifactStoreSpec{Registry: v1alpha1.RegistrySpec{URL: "https://r.example.com", CABundle: []byte("PEM")}}
	without := spec
	without.Registry.CABundle = nil
	for name, tc := range map[string]struct{ is, want client.Object }{
		"Store":      {&v1alpha1.ArtifactStore{ObjectMeta: full(), Spec: spec}, &v1alpha1.ArtifactStore{ObjectMeta: trimmed, Spec: without}},
		"Manifest":   {&v1alpha1.ArtifactManifest{ObjectMeta: full()}, &v1alpha1.ArtifactManifest{ObjectMeta: trimmed}},
		"Definition": {&v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: full()}, &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: trimmed}},
		"Design":     {&v1alpha1.NetworkServiceDesignVersion{ObjectMeta: full()}, &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: trimmed}},
		"Site":       {&v1alpha1.SiteNetworkService{ObjectMeta: full()}, &v1alpha1.SiteNetworkService{ObjectMeta: trimmed}},
		"Tombstone":  {&v1alpha1.Tombstone{ObjectMeta: full()}, &v1alpha1.Tombstone{ObjectMeta: trimmed}},
		"CronJob":    {&batchv1.CronJob{ObjectMeta: full()}, &batchv1.CronJob{ObjectMeta: full()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Trim(tc.is)
			if diff := cmp.Diff(tc.want, tc.is); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
