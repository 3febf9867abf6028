package plan

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// Reason is the reason of a verdict, in one word. A digest that may be deleted has the cause of the tombstone
// that lists it or leads to it (Released, Removed, Overwritten or Found), or OrphanReferrer. A digest that is
// kept has one of the other reasons, or an edge of the graph (IndexChild, Referrer or Subject).
type Reason = graph.Reason

// OrphanReferrer is the reason to delete a satellite whose subject is no longer in the registry.
const OrphanReferrer Reason = "OrphanReferrer"

// Reasons why a digest is kept.
const (
	// Tagged: an ordinary tag that is not nfo's points at it.
	Tagged Reason = "Tagged"
	// SharedTag: as Tagged, and it also has a tag of nfo's that can only be removed with the digest.
	SharedTag Reason = "SharedTag"
	// Locked: the registry has marked it as not to be deleted. nfo never removes locks.
	Locked Reason = "Locked"
	// Held: a manifest, definition or design references it, or its tombstone is being restored or has changed.
	Held Reason = "Held"
	// InUse: a workload runs it, or would run it if it started again.
	InUse Reason = v1alpha1.ReasonInUse
	// GracePeriod: it can still be restored, or its tag has not been seen to be missing.
	GracePeriod Reason = "GracePeriod"
	// Unreadable: something that could reference it cannot be read.
	Unreadable Reason = "Unreadable"
	// Unsettled: the registry says that the digest, or something that could
	// refer to it, does not exist, but has not said so for long enough.
	Unsettled Reason = "Unsettled"
	// OverBudget: maxDeletions is reached. Digests that were untagged earlier are deleted first.
	OverBudget Reason = "OverBudget"
	// NotNeeded: usage is below the threshold, or reaches the target without this deletion.
	NotNeeded Reason = "NotNeeded"
	// UsageUnknown: there is a threshold or target, and no usage to compare it with.
	UsageUnknown Reason = "UsageUnknown"
	// NotOurs: it is in a repository that does not follow from the store and the name of the manifest.
	NotOurs Reason = "NotOurs"
	// Unsupported: deletion is disabled at the registry.
	Unsupported Reason = "Unsupported"
	// Lost: it was deleted, something turned out to need it, and it could not be restored.
	Lost Reason = v1alpha1.ReasonLost
	// Denied: the registry refuses to delete it.
	Denied Reason = "Denied"
	// Kept: the Artifact is marked to be kept.
	Kept Reason = "Kept"
	// UseUnknown: the workloads that may use the Artifact could not be read right before its deletion.
	UseUnknown Reason = "UseUnknown"
	// NamespaceTerminating: the Artifact's namespace is being deleted, which deletes its objects in any order.
	NamespaceTerminating Reason = "NamespaceTerminating"
	// Unneeded: no workload uses it, and no Artifact that stays references it.
	Unneeded Reason = "Unneeded"
	// Interrupted: the purge ended before it reached the digest.
	Interrupted Reason = "Interrupted"
)

// Messages of verdicts that are given while a plan is carried out.
const (
	// PushedAgain goes with the reason GracePeriod.
	PushedAgain = "it was pushed again, or what was pushed needs it; if the registry lists it later, another grace begins"
	// NotReached goes with the reason Interrupted.
	NotReached = "the purge ended before it came to it; the next one goes on"
	// NotRead goes with the reason Held or UseUnknown.
	NotRead = "the cluster could not be read right before the registry was to delete it"
)

// Verdict says whether one candidate digest is deleted or kept, and why.
type Verdict struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	// Delete: the digest may be deleted, or after a sweep was deleted.
	Delete bool `json:"delete"`
	// Missing: the digest was not in the registry any more.
	Missing bool   `json:"missing,omitempty"`
	Reason  Reason `json:"reason"`
	// Artifact is the Artifact of a verdict about the mirror, as namespace/name; "" for a tag that no Artifact references.
	Artifact string `json:"artifact,omitempty"`
	// Image is the image of the Artifact.
	Image string `json:"image,omitempty"`
	// Message explains the reason in words.
	Message string `json:"message,omitempty"`
	// Tombstones are the names of the tombstones that list the digest or something that it is a part of.
	Tombstones []string `json:"tombstones,omitempty"`
	// UntaggedAt is when the last of the tags that led to the digest was removed.
	UntaggedAt time.Time `json:"untaggedAt,omitzero"`
}

// Key returns the repository and the digest of the verdict.
func (v Verdict) Key() reading.Key { return reading.Key{Repository: v.Repository, Digest: v.Digest} }

// Found reports whether no tombstone leads to the digest: the registry lists it, and nothing keeps it.
func (v Verdict) Found() bool { return len(v.Tombstones) == 0 }
