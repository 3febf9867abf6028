package v1alpha1

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxReconcileNow bounds what counts of a value of AnnotationReconcileNow, in bytes.
const maxReconcileNow = 128

// ReconcileNow is what a status remembers of the annotation AnnotationReconcileNow: its value on an object and on those
// that speak for it too, such as its store, separated by commas; "" if none has it.
func ReconcileNow(all ...metav1.Object) string {
	var values []string
	for _, o := range all {
		if v := o.GetAnnotations()[AnnotationReconcileNow]; v != "" {
			values = append(values, Clip(Line(v), maxReconcileNow))
		}
	}
	return strings.Join(values, ",")
}

// ReconcilesNow reports whether a value asks for what the one that was acted on last has not.
func ReconcilesNow(now, last string) bool { return now != "" && now != last }
