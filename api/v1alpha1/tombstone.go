package v1alpha1

import (
	"cmp"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Tombstone records what was released, when, and at which digests. It is written by the
// operator before the first tag is removed. The purge deletes from it; applying the
// manifest again restores from it. It has no owner and holds nothing: deleting a store and
// applying it again loses no undo. Deleting a Tombstone by hand forgets the undo and leaves
// the digests in the registry.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/name=nfo"
// +kubebuilder:resource:shortName=ts,categories=nfo
// +kubebuilder:selectablefield:JSONPath=`.spec.manifest.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.cause`
// +kubebuilder:printcolumn:name="Manifest",type=string,JSONPath=`.spec.manifest.name`
// +kubebuilder:printcolumn:name="Cause",type=string,JSONPath=`.spec.cause`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Restorable Until",type=string,JSONPath=`.status.restorableUntil`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Registry",type=string,priority=1,JSONPath=`.spec.registryURL`
// +kubebuilder:validation:XValidation:rule="self.spec.registryURL == oldSelf.spec.registryURL && self.spec.manifest.uid == oldSelf.spec.manifest.uid && self.spec.cause == oldSelf.spec.cause",message="where, of what and why something was released cannot be changed"
type Tombstone struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What was released. Required.
	// +required
	Spec TombstoneSpec `json:"spec"`

	// What became of it.
	// +optional
	Status TombstoneStatus `json:"status,omitempty"`
}

// Cause says why a digest lost its tag.
// +kubebuilder:validation:Enum=Released;Removed;Overwritten;Found
type Cause string

// Why a digest lost its tag.
const (
	// CauseReleased: its manifest was deleted.
	CauseReleased Cause = "Released"
	// CauseRemoved: its entry left the manifest's spec.artifacts.
	CauseRemoved Cause = "Removed"
	// CauseOverwritten: its tag moved on to another digest.
	CauseOverwritten Cause = "Overwritten"
	// CauseFound: it was untagged by others.
	CauseFound Cause = "Found"
)

// TombstoneSpec is what was released.
type TombstoneSpec struct {
	// The URL of the store that it was released from. A store of this namespace with the same
	// URL adopts the tombstone; without one it waits.
	// +required
	// +kubebuilder:validation:MaxLength=512
	RegistryURL string `json:"registryURL"`

	// The manifest as it was.
	// +required
	Manifest TombstoneManifest `json:"manifest"`

	// Why: Released, Removed, Overwritten or Found.
	// +required
	Cause Cause `json:"cause"`

	// The store's grace period at release. The longer of it and the store's grace period now counts.
	// +required
	GracePeriod metav1.Duration `json:"gracePeriod"`

	// What lost its tag.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Artifacts []TombstoneArtifact `json:"artifacts"`
}

// TombstoneManifest is the manifest that a tombstone is of.
// +structType=atomic
type TombstoneManifest struct {
	// The manifest's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// The manifest's UID: a manifest applied again is another one.
	// +required
	UID types.UID `json:"uid"`
	// The manifest's spec when it was released, for anyone who wants to apply it again.
	// +required
	Spec ArtifactManifestSpec `json:"spec"`
}

// TombstoneArtifact is one tag and the digests it was seen at.
// +structType=atomic
type TombstoneArtifact struct {
	// The whole repository name in the registry, without the host.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Repository string `json:"repository"`
	// The tag.
	// +required
	// +kubebuilder:validation:MaxLength=128
	Tag string `json:"tag"`
	// The digests that the tag was seen at, oldest first. A restore uses the last one; of a sealed manifest
	// that is the sealed digest. The list only grows: before it deletes, a purge puts in front what it deletes
	// with them, such as the children of an index.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	Digests []string `json:"digests"`
	// The media type of the last digest.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	MediaType string `json:"mediaType,omitempty"`
	// Bytes of the last digest: the image manifest or index alone.
	// +optional
	Size int64 `json:"size,omitempty"`
}

// TombstoneState is what became of one released tag.
// +kubebuilder:validation:Enum=Pending;Untagged;Restoring;Restored;Sweeping;Purged;Kept
type TombstoneState string

// What became of a released tag.
const (
	// TombstonePending: recorded, the tag not yet removed.
	TombstonePending TombstoneState = "Pending"
	// TombstoneUntagged: the tag is removed; the digest can be restored.
	TombstoneUntagged TombstoneState = "Untagged"
	// TombstoneRestoring: the manager has claimed the entry and puts the tag back.
	TombstoneRestoring TombstoneState = "Restoring"
	// TombstoneRestored: the tag is back; the entry is consumed.
	TombstoneRestored TombstoneState = "Restored"
	// TombstoneSweeping: a purge has claimed the entry and deletes its digests.
	TombstoneSweeping TombstoneState = "Sweeping"
	// TombstonePurged: its digests are gone; the entry is consumed.
	TombstonePurged TombstoneState = "Purged"
	// TombstoneKept: its grace is over but something keeps a digest; the reason says what.
	TombstoneKept TombstoneState = "Kept"
)

// TombstoneArtifactStatus is what became of one released tag.
// +structType=atomic
type TombstoneArtifactStatus struct {
	// As in the spec.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Repository string `json:"repository"`
	// As in the spec.
	// +required
	// +kubebuilder:validation:MaxLength=128
	Tag string `json:"tag"`
	// When the operator saw the tag gone. Grace counts from here. Absent: not a candidate.
	// +optional
	UntaggedAt *metav1.Time `json:"untaggedAt,omitempty"`
	// Pending, Untagged, Restoring, Restored, Sweeping, Purged or Kept.
	// +required
	State TombstoneState `json:"state"`
	// When the registry first said that a digest of the entry does not exist; it has said so ever since.
	// After a whole grace period of this, and at least a minute, the entry is given up.
	// +optional
	MissingSince *metav1.Time `json:"missingSince,omitempty"`
	// The digests that purges have deleted while others of the entry are kept.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=256
	Deleted []string `json:"deleted,omitempty"`
	// Why, in one word and a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// TombstoneStatus is what became of what was released.
type TombstoneStatus struct {
	// The generation of the spec that the operator has seen.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// One entry for each of spec.artifacts that something was done with.
	// +optional
	// +listType=atomic
	Artifacts []TombstoneArtifactStatus `json:"artifacts,omitempty"`

	// Until when a restore is certain, as of the release; a longer grace period set on the
	// store afterwards extends it. With the annotation nfo.dev/expire-now, when it was seen.
	// +optional
	RestorableUntil *metav1.Time `json:"restorableUntil,omitempty"`

	// Ready: its reason is the tombstone's state.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Entry returns the status of one released tag: Pending without untaggedAt when nothing was
// recorded of it yet.
func (t *Tombstone) Entry(repository, tag string) TombstoneArtifactStatus {
	for _, e := range t.Status.Artifacts {
		if e.Repository == repository && e.Tag == tag {
			return e
		}
	}
	return TombstoneArtifactStatus{Repository: repository, Tag: tag, State: TombstonePending}
}

// SetEntry replaces, or adds, the status of one released tag.
func (t *Tombstone) SetEntry(e TombstoneArtifactStatus) {
	i := slices.IndexFunc(t.Status.Artifacts, func(o TombstoneArtifactStatus) bool { return o.Repository == e.Repository && o.Tag == e.Tag })
	if i < 0 {
		t.Status.Artifacts = append(t.Status.Artifacts, e)
		return
	}
	t.Status.Artifacts[i] = e
}

// MovedOn reports whether the tag of an entry is at another digest than what was released.
func (t *Tombstone) MovedOn(e TombstoneArtifactStatus) bool {
	return t.Spec.Cause == CauseOverwritten || strings.HasPrefix(e.Reason, ReasonTagTaken)
}

// Consumed reports whether nothing of the tombstone is left to restore or to purge.
func (t *Tombstone) Consumed() bool {
	for _, a := range t.Spec.Artifacts {
		if s := t.Entry(a.Repository, a.Tag).State; s != TombstoneRestored && s != TombstonePurged {
			return false
		}
	}
	return true
}

// Undos returns the tombstones that one tag can be restored from, the newest release first, and those last that something else
// was pushed after. A digest that was overwritten is never brought back.
func Undos(all []*Tombstone, repository, tag string) []*Tombstone {
	undoes := func(t *Tombstone) bool {
		released := t.Spec.Cause == CauseReleased || t.Spec.Cause == CauseRemoved
		state := t.Entry(repository, tag).State
		return released && state != TombstoneRestored && state != TombstonePurged &&
			slices.ContainsFunc(t.Spec.Artifacts, func(a TombstoneArtifact) bool { return a.Repository == repository && a.Tag == tag })
	}
	undos := slices.DeleteFunc(slices.Clone(all), func(t *Tombstone) bool { return !undoes(t) })
	when := func(t *Tombstone) time.Time {
		if e := t.Entry(repository, tag); e.UntaggedAt != nil {
			return e.UntaggedAt.Time
		}
		return t.CreationTimestamp.Time
	}
	over := func(t *Tombstone) int {
		if t.MovedOn(t.Entry(repository, tag)) { // its time is when that was seen
			return 1
		}
		return 0
	}
	slices.SortStableFunc(undos, func(a, b *Tombstone) int { return cmp.Or(cmp.Compare(over(a), over(b)), when(b).Compare(when(a))) })
	return undos
}

// BeginGrace marks as untagged, from now on, what is still pending, and says until when a restore is
// certain. An entry that was marked before keeps its time. reasons has, by repository:tag, what
// else there is to say of an entry. It reports whether there was any.
func (t *Tombstone) BeginGrace(now metav1.Time, graceNow time.Duration, reasons map[string]string) (changed bool) {
	for _, a := range t.Spec.Artifacts {
		e := t.Entry(a.Repository, a.Tag)
		if e.State == TombstonePending {
			e.State, e.UntaggedAt, e.Reason, changed = TombstoneUntagged, &now, reasons[a.Repository+":"+a.Tag], true
			t.SetEntry(e)
		}
	}
	if changed {
		until := metav1.NewTime(now.Add(max(graceNow, t.Spec.GracePeriod.Duration)))
		t.Status.RestorableUntil = &until
		t.Summarise()
	}
	return changed
}

// expiredNow says what AnnotationExpireNow does to a tombstone.
const expiredNow = "The annotation " + AnnotationExpireNow + " has ended the grace period: the next purge deletes what nothing references."

func (t *Tombstone) expired() bool {
	_, now := t.Annotations[AnnotationExpireNow]
	return now
}

// ExpiryStale reports whether status.restorableUntil or the Ready condition is not up to date with AnnotationExpireNow.
func (t *Tombstone) ExpiryStale(now metav1.Time) bool {
	last, until := t.lastUntagged(), t.Status.RestorableUntil
	if last == nil || until == nil {
		return false
	}
	if t.expired() {
		return now.Before(until) || !t.saysExpired()
	}
	return until.Time.Before(last.Add(t.Spec.GracePeriod.Duration).Truncate(time.Second)) || t.saysExpired() // the API stores seconds
}

// Expire brings both up to date, if they are stale. graceNow is the store's grace period now, which counts once the
// annotation is removed.
func (t *Tombstone) Expire(now metav1.Time, graceNow time.Duration) {
	switch {
	case !t.ExpiryStale(now):
		return
	case !t.expired():
		t.Status.RestorableUntil = new(metav1.NewTime(t.lastUntagged().Add(max(graceNow, t.Spec.GracePeriod.Duration))))
	case now.Before(t.Status.RestorableUntil):
		t.Status.RestorableUntil = &now
	}
	t.Summarise()
}

// Prolong moves status.restorableUntil to the end of the grace that ends last, if that is later. graceNow is the store's grace
// period now.
func (t *Tombstone) Prolong(graceNow time.Duration) {
	last := t.lastUntagged()
	if last == nil || t.expired() {
		return
	}
	if until := metav1.NewTime(last.Add(max(graceNow, t.Spec.GracePeriod.Duration))); t.Status.RestorableUntil == nil || t.Status.RestorableUntil.Before(&until) {
		t.Status.RestorableUntil = &until
	}
}

// lastUntagged is when the last tag was removed of those that can be restored or, if there are none, of those that something
// else was pushed to; nil for none.
func (t *Tombstone) lastUntagged() *metav1.Time {
	var last, over *metav1.Time
	for _, e := range t.Status.Artifacts {
		if e.State != TombstoneUntagged && e.State != TombstoneKept {
			continue
		}
		of := &last
		if t.MovedOn(e) {
			of = &over
		}
		if *of == nil || (*of).Before(e.UntaggedAt) {
			*of = e.UntaggedAt
		}
	}
	if last == nil {
		return over
	}
	return last
}

// saysExpired reports whether the Ready condition says that the grace period was ended.
func (t *Tombstone) saysExpired() bool {
	c := apimeta.FindStatusCondition(t.Status.Conditions, ConditionReady)
	return c != nil && strings.Contains(c.Message, expiredNow)
}

// GraceEnds returns when the grace of an entry ends: untaggedAt plus the longer of the grace
// at release and the grace now, or untaggedAt itself when the tombstone is annotated to
// expire at once. ok is false when the entry has no untaggedAt: then it is not a candidate.
func (t *Tombstone) GraceEnds(e TombstoneArtifactStatus, graceNow time.Duration) (end time.Time, ok bool) {
	if e.UntaggedAt == nil {
		return time.Time{}, false
	}
	if t.expired() {
		return e.UntaggedAt.Time, true
	}
	return e.UntaggedAt.Add(max(t.Spec.GracePeriod.Duration, graceNow)), true
}

// TombstoneList is a list of Tombstones.
// +kubebuilder:object:root=true
type TombstoneList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Tombstone `json:"items"`
}
