package controller

import (
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

var stripManagedFields = cache.TransformStripManagedFields()

// lean makes an object lighter before the cache keeps it: nothing reads who manages which field, and
// what many objects say in the same words is kept once.
func lean(o any) (any, error) {
	o, err := stripManagedFields(o)
	if err != nil {
		return o, err
	}
	if o, ok := o.(client.Object); ok {
		shareAll(o.GetFinalizers())
		o.SetNamespace(unique.Make(o.GetNamespace()).Value())
	}
	switch o := o.(type) {
	case *v1alpha1.ArtifactManifest:
		shareConditions(o.Status.Conditions)
		shareManifest(o)
	case *v1alpha1.Tombstone:
		shareConditions(o.Status.Conditions)
		for i := range o.Spec.Artifacts {
			share(&o.Spec.Artifacts[i].MediaType)
		}
	case version:
		shareConditions(o.VersionStatus().Conditions)
		shareDependents(o.VersionStatus().Dependents)
	}
	return o, nil
}

func shareManifest(m *v1alpha1.ArtifactManifest) {
	share(&m.Spec.ArtifactStoreRef.Name)
	share(&m.Spec.ArtifactManifestState)
	share(&m.Spec.UploadPath)
	for i := range m.Spec.Artifacts {
		share(&m.Spec.Artifacts[i].ArtifactType)
	}
	for i := range m.Status.Artifacts {
		a := &m.Status.Artifacts[i]
		share(&a.MediaType)
		share(&a.ConfigMediaType)
		share(&a.State)
	}
	shareDependents(m.Status.Dependents)
}

func shareDependents(d v1alpha1.Dependents) {
	for i := range d.Dependents {
		share(&d.Dependents[i].Kind)
		share(&d.Dependents[i].Namespace)
	}
}

func shareConditions(cs []metav1.Condition) {
	for i := range cs {
		share(&cs[i].Type)
		share(&cs[i].Status)
		share(&cs[i].Reason)
		share(&cs[i].Message)
	}
}

func shareAll(texts []string) {
	for i := range texts {
		share(&texts[i])
	}
}

func share[T ~string](text *T) { *text = unique.Make(*text).Value() }
