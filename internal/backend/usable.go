package backend

import (
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Inert returns why nothing may be done in a store, or nil if it may be used: its place belongs to another
// store or is refused, its URL is invalid, or it has not been checked yet. An unreachable store is not inert.
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
