package aosm

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
)

// Applied returns an object with only the fields that an import decides, as it is applied and printed. The typed object
// has every field of its kind: applied unchanged, it would claim and reset others, such as spec.purge of a store.
func Applied(o client.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("converting %s %s: %w", o.GetObjectKind().GroupVersionKind().Kind, o.GetName(), err)
	}
	unstructured.RemoveNestedField(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(content, "spec", "purge")
	if spec, ok := content["spec"].(map[string]any); ok && len(spec) == 0 { // a namespace's spec
		delete(content, "spec")
	}
	return &unstructured.Unstructured{Object: content}, nil
}

// SameResource reports whether two ids, as in AnnotationID, can be of the same
// resource: a part of the scope that only one of them has is not a difference.
func SameResource(a, b string) bool {
	x, err := arm.ParseID(a)
	if err != nil {
		return a == b
	}
	y, err := arm.ParseID(b)
	if err != nil {
		return false
	}
	return x.Type() == y.Type() && arm.Fold(strings.Join(x.Names, "/")) == arm.Fold(strings.Join(y.Names, "/")) &&
		!arm.Differ(x.Subscription, y.Subscription) && !arm.Differ(x.Group, y.Group)
}

// IsAPIVersion reports whether a text has the form of an Azure API version: a date, optionally with -preview.
func IsAPIVersion(s string) bool { return date.MatchString(s) }
