package backend

import (
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Inert returns why nothing may be done in a store: its URL is another's, is refused, or cannot be
// read, or has not been judged yet. nil for a store that works, also while it is unreachable.
func Inert(s *v1alpha1.ArtifactStore) *metav1.Condition {
	c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case c == nil:
		return &metav1.Condition{Reason: v1alpha1.ReasonPending}
	case c.Reason == v1alpha1.ReasonPathConflict, c.Reason == v1alpha1.ReasonPlaceRefused, c.Reason == v1alpha1.ReasonInvalidURL:
		return c
	}
	return nil
}
