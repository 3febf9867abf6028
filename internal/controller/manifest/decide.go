package manifest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// manifestVerdict is what a pass does about a manifest and what its status will say.
type manifestVerdict struct {
	artifacts  []v1alpha1.ArtifactStatus
	holders    []reference.Holder
	charts     []v1alpha1.ChartStatus
	conditions pass.Conditions
	// upgradingFrom is the old form that the manifest is being upgraded from, for the status.
	upgradingFrom v1alpha1.UploadPath
	// overwritten are entries whose tags were overwritten, each with the digest that its tag pointed to before.
	overwritten []v1alpha1.ArtifactStatus
	// restore are the tombstones to restore tags from, and which of their tags.
	restore []restoration
	// returning are the missing entries whose tags are being restored from a tombstone.
	returning map[inventory.Entry]bool
	// reseat are the entries of a sealed manifest whose tags a person wants back at the sealed
	// digests. answered is true if this order is completed once the acts have succeeded.
	reseat   []v1alpha1.ArtifactStatus
	answered bool
	// release is what to release; nil for nothing.
	release *release.Task
	// letGo is true if the finalizer is to be removed.
	letGo bool
	// waiting is true if the manifest is being deleted and the pass only waits for its holders.
	waiting bool
	// doubted is true if the manifest is being deleted and its holders are unknown.
	doubted bool
	// silent is true if the pass is repeated within a second and has nothing to report.
	silent bool
	// uploadedAsOf is the generation that the condition Uploaded refers to, if it is an earlier one.
	uploadedAsOf *int64
	// now is the request to poll at once (v1alpha1.ReconcileNow)
	// that the status records once the registry has been asked.
	now string
	// unsteady is true if the poll after the sealing differs from what was recorded, so that another poll decides.
	unsteady bool
	// poll is how long until the registry is asked next; 0 for never.
	// again is how long until the next pass, which after sets.
	poll, again time.Duration
}

type restoration struct {
	tombstone v1alpha1.Tombstone
	all       bool            // every tag of the tombstone
	entries   map[string]bool // only these, by repository:tag, unless all is set
}

// decideManifest is pure: the same observation always gives the same verdict.
func decideManifest(seen manifestSeen) manifestVerdict {
	if seen.manifest.DeletionTimestamp.IsZero() {
		return decideLive(seen)
	}
	return decideDeleting(seen)
}

// decideDeleting decides on a manifest that is being deleted. While something holds it, the pass only
// waits and restores what an interrupted release has untagged. Otherwise everything is released.
func decideDeleting(seen manifestSeen) manifestVerdict {
	m := seen.manifest
	v := manifestVerdict{artifacts: m.Status.Artifacts, charts: m.Status.Charts, holders: seen.all(), upgradingFrom: m.Status.UpgradingFrom, now: m.Status.LastReconcileNow}
	if m.Spec.UploadPath == v1alpha1.StoreScoped {
		v.letGo = true
		v.conditions.Untouched("The manifest is StoreScoped: its deletion never touches the registry.")
		return v
	}
	v.conditions.Referenced(reference.Self(m), v.holders)
	if len(seen.holders) > 0 {
		v.restore = seen.interrupted()
		v.waiting = len(v.restore) == 0
		v.conditions.Blocked(reference.Self(m), v.holders)
		return v
	}
	v.release = &release.Task{Manifest: m, Location: seen.location, Entries: inventory.Entries(m, seen.location), Cause: v1alpha1.CauseReleased}
	return v
}

// all returns the holders of both kinds, sorted. A release reads the workloads itself, live.
func (seen manifestSeen) all() []reference.Holder {
	all := slices.Concat(seen.holders, seen.running)
	reference.SortHolders(all)
	return all
}

// interrupted returns the restorations that undo a release of this manifest that has already begun.
func (seen manifestSeen) interrupted() []restoration {
	var all []restoration
	for _, t := range seen.tombstones {
		if t.Spec.Cause == v1alpha1.CauseReleased && t.Spec.Manifest.UID == seen.manifest.UID {
			all = append(all, restoration{tombstone: t, all: true})
		}
	}
	return all
}

// decideLive compares what is listed, what was recorded, and what the registry shows.
func decideLive(seen manifestSeen) manifestVerdict {
	v := manifestVerdict{holders: seen.all(), artifacts: seen.manifest.Status.Artifacts, charts: seen.manifest.Status.Charts, now: seen.remembered()}
	v.conditions.Referenced(reference.Self(seen.manifest), v.holders)
	if reason, message := seen.unusable(); reason != "" {
		v.conditions.Set(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, reason, message)
		v.conditions.Set(v1alpha1.ConditionComplete, metav1.ConditionUnknown, reason, message)
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
		v.upgradingFrom = seen.migrated(&v)
		return v
	}
	v.artifacts = nil
	all := inventory.Entries(seen.manifest, seen.location)
	var leaving []v1alpha1.ArtifactStatus
	for i, e := range all {
		now := seen.merge(&v, e)
		if i < len(seen.manifest.Spec.Artifacts) {
			v.artifacts = append(v.artifacts, now)
		} else if seen.location.Owns(seen.manifest.Name, now.Repository) && (now.Digest != "" || !seen.asked(e)) {
			leaving = append(leaving, now) // a tag that has not been asked for may have been pushed: the release checks
		}
	}
	if len(leaving) > 0 && len(seen.holders) == 0 {
		v.release = &release.Task{Manifest: seen.manifest, Location: seen.location, Entries: leaving, Cause: v1alpha1.CauseRemoved}
	}
	v.artifacts = append(v.artifacts, leaving...)
	undos := seen.undos(v.artifacts)
	v.restore, v.returning = seen.restorable(v.artifacts, undos), seen.returning(v.artifacts, undos)
	v.poll = seen.nextPoll(v.artifacts, v.unsteady)
	seen.conclude(&v)
	seen.charts(&v)
	seen.order(&v)
	v.upgradingFrom = seen.migrated(&v)
	return v
}

// asked reports whether the registry was asked for an entry in this pass.
func (seen manifestSeen) asked(e v1alpha1.ArtifactStatus) bool {
	_, asked := seen.tags[inventory.KeyOf(e)]
	return asked
}

// remembered returns the request to poll at once that the status
// records. A new request is recorded only after the registry was asked.
func (seen manifestSeen) remembered() string {
	if seen.polled || seen.now == "" {
		return seen.now
	}
	return seen.manifest.Status.LastReconcileNow
}

// unusable returns why the manifest's store cannot be used; an empty reason if it can.
func (seen manifestSeen) unusable() (reason, message string) {
	name := seen.manifest.Spec.ArtifactStoreRef.Name
	switch {
	case seen.store == nil:
		return v1alpha1.ReasonStoreNotFound, fmt.Sprintf("ArtifactStore %s does not exist in this namespace; create it.", name)
	case seen.inert != nil && seen.inert.Reason == v1alpha1.ReasonPending:
		return v1alpha1.ReasonPending, fmt.Sprintf("The operator has not looked at ArtifactStore %s yet.", name)
	case seen.inert != nil:
		return v1alpha1.ReasonStoreNotReady, fmt.Sprintf("ArtifactStore %s is inert (%s): %s.", name, seen.inert.Reason, strings.TrimSuffix(seen.inert.Message, "."))
	}
	return "", ""
}

// merge updates one entry with what the registry answered for its tag. If the tag has vanished, or
// is sealed and was overwritten, the old digest stays recorded, which protects it from every purge.
func (seen manifestSeen) merge(v *manifestVerdict, e v1alpha1.ArtifactStatus) v1alpha1.ArtifactStatus {
	tag, asked := seen.tags[inventory.KeyOf(e)]
	switch {
	case !asked:
		return e
	case !tag.there:
		e.State = v1alpha1.ArtifactMissing
		return e
	}
	own := seen.location.Owns(seen.manifest.Name, e.Repository)
	v.unsteady = v.unsteady || (inventory.Sealing(seen.manifest) && e.Digest != tag.digest)
	if was := inventory.LastSeen(e); was.Digest != "" && was.Digest != tag.digest && own {
		v.overwritten = append(v.overwritten, was)
	}
	if own && e.Digest != "" && e.Digest != tag.digest && inventory.Promised(seen.manifest) {
		e.State, e.MovedTo = v1alpha1.ArtifactMoved, tag.digest
		return e
	}
	e.State, e.Digest, e.MediaType, e.Size = v1alpha1.ArtifactPresent, tag.digest, tag.mediaType, tag.size
	e.ConfigMediaType = tag.config
	e.MovedTo, e.Reason = "", ""
	return e
}

// undos finds the newest release that each entry can be restored from. An entry qualifies if
// this poll found its tag missing, or present only because the registry cannot remove tags,
// or at another digest that somebody pushed. A digest that was overwritten is never restored.
func (seen manifestSeen) undos(artifacts []v1alpha1.ArtifactStatus) map[inventory.Entry]*v1alpha1.Tombstone {
	found := map[inventory.Entry]*v1alpha1.Tombstone{}
	if seen.manifest.Spec.UploadPath == v1alpha1.StoreScoped {
		return found
	}
	for _, e := range artifacts {
		if t := seen.undo(e); t != nil {
			found[inventory.KeyOf(e)] = t
		}
	}
	return found
}

// restorable returns the restorations that follow from undos, and those that a crash
// has interrupted, even if only the deletion of their tombstone is left.
func (seen manifestSeen) restorable(artifacts []v1alpha1.ArtifactStatus, undos map[inventory.Entry]*v1alpha1.Tombstone) []restoration {
	if seen.manifest.Spec.UploadPath == v1alpha1.StoreScoped {
		return nil
	}
	chosen := map[string]map[string]bool{} // by tombstone, then repository:tag
	for _, e := range artifacts {
		t := undos[inventory.KeyOf(e)]
		if t == nil {
			continue
		}
		if chosen[t.Name] == nil {
			chosen[t.Name] = map[string]bool{}
		}
		chosen[t.Name][e.Repository+":"+e.ArtifactVersion] = true
	}
	var out []restoration
	for _, t := range seen.tombstones {
		if entries := chosen[t.Name]; entries != nil || t.Consumed() {
			out = append(out, restoration{tombstone: t, entries: entries})
		}
	}
	return out
}

// returning returns the missing entries whose tags a tombstone restores now.
// An entry that was not asked for in this pass keeps its last reported state.
func (seen manifestSeen) returning(artifacts []v1alpha1.ArtifactStatus, undos map[inventory.Entry]*v1alpha1.Tombstone) map[inventory.Entry]bool {
	c := inventory.Uploaded(seen.manifest)
	before := c != nil && c.Reason == v1alpha1.ReasonRestoring
	all := map[inventory.Entry]bool{}
	for _, e := range artifacts {
		if e.State != v1alpha1.ArtifactMissing {
			continue
		}
		key := inventory.KeyOf(e)
		if !seen.asked(e) {
			all[key] = before
		} else if t := undos[key]; t != nil {
			all[key] = !strings.HasPrefix(t.Entry(e.Repository, e.ArtifactVersion).Reason, v1alpha1.ReasonUndoLost)
		}
	}
	return all
}

// undo returns the tombstone to restore one entry from now; nil for none.
func (seen manifestSeen) undo(e v1alpha1.ArtifactStatus) *v1alpha1.Tombstone {
	tag, asked := seen.tags[inventory.KeyOf(e)]
	if !asked {
		return nil
	}
	var all []*v1alpha1.Tombstone
	for i := range seen.tombstones {
		all = append(all, &seen.tombstones[i])
	}
	for _, t := range v1alpha1.Undos(all, e.Repository, e.ArtifactVersion) {
		was := t.Entry(e.Repository, e.ArtifactVersion)
		interrupted := was.State == v1alpha1.TombstoneRestoring
		// The tag could not be removed alone, so it is back without having been removed: no purge may delete it now.
		stayed := strings.HasPrefix(was.Reason, v1alpha1.TagDeleteUnsupported)
		if interrupted || stayed || passedOver(t, e, tag) || (!tag.there && mayRestore(t, e)) {
			return t
		}
	}
	return nil
}

// passedOver reports whether a different digest was pushed to a tag before its undo
// was requested. The restore then leaves the tag alone, says so, and ends the undo,
// so that the old digest does not come back when the new tag is removed later.
func passedOver(t *v1alpha1.Tombstone, e v1alpha1.ArtifactStatus, tag tagSeen) bool {
	was := t.Entry(e.Repository, e.ArtifactVersion)
	released := was.State == v1alpha1.TombstoneUntagged || was.State == v1alpha1.TombstoneKept
	return tag.there && released && !t.MovedOn(was) && !tombstone.Restores(t, e.Repository, e.ArtifactVersion, tag.digest)
}

// How often a manifest's upload state is polled, before a jitter of up to a tenth.
const (
	pollMissing  = 5 * time.Second // some artifacts are missing
	pollComplete = 5 * time.Minute // all artifacts are present and may still be overwritten
	pollSealed   = 24 * time.Hour  // all artifacts are present and the manifest is sealed
	pollTrouble  = 15 * time.Second
)

// nextPoll returns how long until the registry is asked again.
func (seen manifestSeen) nextPoll(artifacts []v1alpha1.ArtifactStatus, unsteady bool) time.Duration {
	switch {
	case seen.trouble != nil:
		return pollTrouble
	case len(artifacts) == 0:
		return 0
	case len(inventory.Missing(artifacts)) > 0, unsteady:
		return pollMissing
	case seen.manifest.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded && len(inventory.Moved(artifacts)) == 0:
		return pollSealed
	}
	return pollComplete
}
