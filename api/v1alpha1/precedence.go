package v1alpha1

import (
	apimeta "k8s.io/apimachinery/pkg/api/meta"
)

// Winner returns the store among others that this one must yield to: one with an equal or
// overlapping URL, in any namespace, that was Ready before this one or, if neither ever was Ready, is
// older (creationTimestamp, then UID). nil when none exists. Stores whose URL cannot be parsed win
// over nobody.
func (s *ArtifactStore) Winner(others []ArtifactStore) *ArtifactStore {
	here, err := s.Location()
	if err != nil {
		return nil
	}
	for i := range others {
		o := &others[i]
		there, err := o.Location()
		if err == nil && o.UID != s.UID && here.Overlaps(there) && o.precedes(s) {
			return o
		}
	}
	return nil
}

// Settled reports whether the store has been Ready at some time, so that no store which never was
// wins over it.
func (s *ArtifactStore) Settled() bool { return s.Status.FirstReadyTime != nil }

// Refused reports whether the manager found that the administrator's list of places does not let the store's
// namespace use its URL. Such a store wins over nobody.
func (s *ArtifactStore) Refused() bool {
	c := apimeta.FindStatusCondition(s.Status.Conditions, ConditionReady)
	return c != nil && c.Reason == ReasonPlaceRefused
}

func (s *ArtifactStore) precedes(o *ArtifactStore) bool {
	if s.Settled() != o.Settled() {
		return s.Settled()
	}
	if s.Settled() && !s.Status.FirstReadyTime.Equal(o.Status.FirstReadyTime) {
		return s.Status.FirstReadyTime.Before(o.Status.FirstReadyTime)
	}
	age := s.CreationTimestamp.Compare(o.CreationTimestamp.Time)
	return age < 0 || (age == 0 && s.UID < o.UID)
}
