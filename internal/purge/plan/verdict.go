package plan

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// Reason is the one word of a verdict. A digest that may go has the cause of the tombstone that
// brings it: Released, Removed, Overwritten or Found; or it is an OrphanReferrer. One that is kept
// has one of the others, or an edge of the graph: IndexChild, Referrer or Subject.
type Reason = graph.Reason

// OrphanReferrer is the reason to delete a satellite of what is not in the registry any more.
const OrphanReferrer Reason = "OrphanReferrer"

// Why a digest is kept.
const (
	// Tagged: an ordinary tag that is not ours to remove points at it.
	Tagged Reason = "Tagged"
	// SharedTag: so it is, and beside it there is one of ours, which can only go with the digest.
	SharedTag Reason = "SharedTag"
	// Locked: the registry has it marked as not to be deleted. Locks are never removed by us.
	Locked Reason = "Locked"
	// Held: a manifest, definition or design names it, or its tombstone is in other hands.
	Held Reason = "Held"
	// InUse: a workload runs it, or would run it again.
	InUse Reason = v1alpha1.ReasonInUse
	// GracePeriod: it can still be restored, or its tag has not been seen gone.
	GracePeriod Reason = "GracePeriod"
	// Unreadable: something that could name it cannot be read.
	Unreadable Reason = "Unreadable"
	// Unsettled: the registry says that it, or something that could refer to it, does not exist, and has
	// not said so for long enough.
	Unsettled Reason = "Unsettled"
	// OverBudget: older ones go first, up to maxDeletions.
	OverBudget Reason = "OverBudget"
	// NotNeeded: usage is below the threshold, or has come down to the target without it.
	NotNeeded Reason = "NotNeeded"
	// UsageUnknown: there is a threshold or target, and nothing to compare it with.
	UsageUnknown Reason = "UsageUnknown"
	// NotOurs: it lies where the store and the manifest's name do not give.
	NotOurs Reason = "NotOurs"
	// Unsupported: deletion is disabled at the registry.
	Unsupported Reason = "Unsupported"
	// Lost: it was deleted, something turned out to need it, and it could not be put back.
	Lost Reason = v1alpha1.ReasonLost
	// Denied: the registry refuses to delete it.
	Denied Reason = "Denied"
	// Kept: somebody asked to keep the Artifact.
	Kept Reason = "Kept"
	// UseUnknown: who uses the Artifact could not be read when it was to go.
	UseUnknown Reason = "UseUnknown"
	// NamespaceTerminating: the Artifact's namespace is being deleted, and what is in it goes in any order.
	NamespaceTerminating Reason = "NamespaceTerminating"
	// Unneeded: no workload uses it, and no Artifact names it that stays.
	Unneeded Reason = "Unneeded"
	// Interrupted: the purge ended before it came to it.
	Interrupted Reason = "Interrupted"
)

// Messages of verdicts that are given where a plan is acted on.
const (
	// PushedAgain: with GracePeriod.
	PushedAgain = "it was pushed again, or what was pushed needs it; if the registry lists it later, another grace begins"
	// NotReached: with Interrupted.
	NotReached = "the purge ended before it came to it; the next one goes on"
	// NotRead: with Held or UseUnknown.
	NotRead = "the cluster could not be read right before the registry was to delete it"
)

// Verdict says what becomes of one candidate digest.
type Verdict struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	// Delete: it may go, or after a sweep has gone.
	Delete bool `json:"delete"`
	// Missing: it was not in the registry any more.
	Missing bool   `json:"missing,omitempty"`
	Reason  Reason `json:"reason"`
	// Artifact is that of a verdict about the mirror, as namespace/name; "" for a tag that none names.
	Artifact string `json:"artifact,omitempty"`
	// Image is its image.
	Image string `json:"image,omitempty"`
	// Message says more, for people.
	Message string `json:"message,omitempty"`
	// Tombstones that name it or what it is a part of, by name.
	Tombstones []string `json:"tombstones,omitempty"`
	// UntaggedAt is when the last of the tags went that it was released from.
	UntaggedAt time.Time `json:"untaggedAt,omitzero"`
}

// Key is the digest that the verdict is about.
func (v Verdict) Key() reading.Key { return reading.Key{Repository: v.Repository, Digest: v.Digest} }

// Found reports whether no tombstone brings the digest: the registry lists it, and nothing keeps it.
func (v Verdict) Found() bool { return len(v.Tombstones) == 0 }
