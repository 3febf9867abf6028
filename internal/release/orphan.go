package release

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func orphaned(o client.Object) bool {
	return o.GetAnnotations()[v1alpha1.AnnotationOnDelete] == v1alpha1.OnDeleteOrphan
}

func unknownOnDelete(o client.Object) bool {
	v, set := o.GetAnnotations()[v1alpha1.AnnotationOnDelete]
	return set && v != v1alpha1.OnDeleteOrphan
}
