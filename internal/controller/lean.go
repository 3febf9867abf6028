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
	}
	switch o := o.(type) {
	case *v1alpha1.ArtifactManifest:
		shareConditions(o.Status.Conditions)
		for i := range o.Status.Artifacts {
			share(&o.Status.Artifacts[i].MediaType)
			share(&o.Status.Artifacts[i].ConfigMediaType)
		}
	case *v1alpha1.Tombstone:
		shareConditions(o.Status.Conditions)
		for i := range o.Spec.Artifacts {
			share(&o.Spec.Artifacts[i].MediaType)
		}
	case version:
		shareConditions(o.VersionStatus().Conditions)
	}
	return o, nil
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
