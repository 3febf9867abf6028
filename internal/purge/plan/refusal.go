package plan

import (
	"errors"
	"fmt"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ErrRefused is wrapped by errors of a purge that does not begin, or ends, because the store must not be purged now.
var ErrRefused = errors.New("the store must not be purged now")

// refuse returns why a store must not be purged; nil if it may be.
func refuse(s *v1alpha1.ArtifactStore, stores []v1alpha1.ArtifactStore) error {
	because := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
	}
	if !s.DeletionTimestamp.IsZero() {
		return because("it is being deleted")
	}
	if _, err := s.Location(); err != nil {
		return because("%s: %w", v1alpha1.ReasonInvalidURL, err)
	}
	admitted := slices.DeleteFunc(slices.Clone(stores), func(o v1alpha1.ArtifactStore) bool { return o.Refused() })
	if w := s.Winner(admitted); w != nil {
		return because("%s: the older store %s/%s has an overlapping URL", v1alpha1.ReasonPathConflict, w.Namespace, w.Name)
	}
	// Only the manager sees the stores of other namespaces, and knows the administrator's list of places (I9).
	ready := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil, ready.Status == metav1.ConditionUnknown, ready.ObservedGeneration != s.Generation:
		return because("the manager has not judged this store yet")
	case ready.Reason == v1alpha1.ReasonPathConflict, ready.Reason == v1alpha1.ReasonPlaceRefused, ready.Reason == v1alpha1.ReasonInvalidURL:
		return because("%s: %s", ready.Reason, ready.Message)
	}
	if c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionPurgeHealthy); c != nil && c.Reason == v1alpha1.ReasonMayShareRegistry {
		return because("%s: %s", c.Reason, c.Message)
	}
	return nil
}
