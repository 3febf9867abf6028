// Package referencetest has the CustomResourceDefinitions and indexes that tests of holders need in a fake client.
package referencetest

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Definitions returns the CustomResourceDefinitions of all kinds with one creation time, for a fake client.
func Definitions(created time.Time) []client.Object {
	var all []client.Object
	for _, kind := range v1alpha1.Kinds() {
		all = append(all, Definition(kind, created))
	}
	return all
}

// Definition returns the CustomResourceDefinition of one kind.
func Definition(kind string, created time.Time) *unstructured.Unstructured {
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName(v1alpha1.Resource(kind) + "." + v1alpha1.GroupVersion.Group)
	crd.SetCreationTimestamp(metav1.NewTime(created))
	return crd
}
