package controller

import (
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// conclude adds what a manifest that is not being deleted says of itself.
func (seen manifestSeen) conclude(v *manifestVerdict) {
	listed := v.artifacts[:len(seen.manifest.Spec.Artifacts)]
	known := seen.polled || len(seen.manifest.Status.Artifacts) > 0 || len(listed) == 0
	switch {
	case seen.trouble != nil:
		_, reason := classify(seen.trouble)
		message := "What the registry has is not known: " + explain(seen.trouble)
		v.conditions.set(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, reason, message)
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	case !known:
		v.conditions.set(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, v1alpha1.ReasonPending, "The registry has not been asked yet.")
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonPending, "The registry has not been asked yet.")
	case seen.unasked > 0 && !seen.told():
		message := fmt.Sprintf("The registry has been asked for %d of %d artifacts; the others follow.", len(listed)-seen.unasked, len(listed))
		v.conditions.set(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, v1alpha1.ReasonPending, message)
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonPending, message)
	case len(missing(listed))+len(moved(listed)) > 0:
		reason, message := seen.shortfall(listed)
		v.conditions.set(v1alpha1.ConditionUploaded, metav1.ConditionFalse, reason, message)
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	default:
		v.conditions.set(v1alpha1.ConditionUploaded, metav1.ConditionTrue, v1alpha1.ReasonComplete, fmt.Sprintf("All %d artifacts are in the registry.", len(listed)))
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "All artifacts are in the registry.")
	}
	if left := v.artifacts[len(listed):]; len(left) > 0 && len(v.holders) > 0 {
		v.conditions.entryInUse(seen.manifest, left, v.holders)
	}
}

// told reports whether it was said of this generation what the registry has: somebody has asked for all.
func (seen manifestSeen) told() bool {
	c := uploaded(seen.manifest)
	return c != nil && c.Status != metav1.ConditionUnknown && c.ObservedGeneration == seen.manifest.Generation
}

// entryInUse says that an entry left the spec and is kept, for the whole manifest is held.
func (cs *conditions) entryInUse(m *v1alpha1.ArtifactManifest, left []v1alpha1.ArtifactStatus, holders []reference.Holder) {
	var names []string
	for _, e := range left {
		names = append(names, e.ArtifactName+":"+e.ArtifactVersion)
	}
	cs.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonEntryInUse,
		fmt.Sprintf("%s left spec.artifacts and is kept in the registry while the manifest is held. %s. List it again, or delete these first.",
			v1alpha1.FirstOf(names, reference.NamedHolders), reference.Refusal(reference.Self(m), holders)))
}

// untouched says that the manifest goes and its artifacts stay.
func (cs *conditions) untouched(why string) {
	cs.set(v1alpha1.ConditionUntagged, metav1.ConditionFalse, v1alpha1.ReasonNotOurs, why)
	cs.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionFalse, v1alpha1.ReasonReleased, "Nothing holds it. "+why)
}

// after completes a verdict with how the acts ended. It is pure.
func (v manifestVerdict) after(seen manifestSeen, done manifestDone, err error) manifestVerdict {
	if v.again = done.again; v.again == 0 {
		v.again = seen.wait
	}
	if len(done.release.holders) > 0 {
		v.holders = done.release.holders
		v.conditions.referenced(reference.Self(seen.manifest), v.holders)
	}
	if !seen.manifest.DeletionTimestamp.IsZero() {
		return v.afterDeleting(seen, done, err)
	}
	v = v.afterLive(seen, done, err)
	if sealing(seen.manifest) && (err != nil || !seen.polled || seen.partial || seen.trouble != nil || v.unsteady) {
		before := int64(0)
		if c := uploaded(seen.manifest); c != nil {
			before = c.ObservedGeneration
		}
		v.uploadedAsOf = &before
	}
	return v
}

func (v manifestVerdict) afterLive(seen manifestSeen, done manifestDone, err error) manifestVerdict {
	listed := min(len(seen.manifest.Spec.Artifacts), len(v.artifacts))
	v.answered = v.answered && err == nil
	if done.recorded {
		v.artifacts = done.putBack.mark(v.artifacts)
		seen.conclude(&v)
	}
	switch {
	case err != nil:
		if !done.recorded {
			v.artifacts = seen.manifest.Status.Artifacts // what could not be recorded has not been seen
		}
		class, reason := classify(err)
		if class != again {
			v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, "It will be tried again: "+explain(err))
		}
	case v.release == nil:
	case len(done.release.holders) > 0:
		v.conditions.entryInUse(seen.manifest, v.artifacts[listed:], v.holders)
	case done.release.wait > 0: // they stay recorded until it is certain that their tags are gone
	default:
		v.artifacts = v.artifacts[:listed]
	}
	return v
}

func (v manifestVerdict) afterDeleting(seen manifestSeen, done manifestDone, err error) manifestVerdict {
	self := reference.Self(seen.manifest)
	switch {
	case err != nil:
		class, reason := classify(err)
		if class == again { // it is tried again within a second: no state to tell of
			return v
		}
		v.conditions.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, reason, seen.stuck(err))
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted; DeletionBlocked says what it waits for.")
	case v.release == nil:
	case len(done.release.holders) > 0:
		v.conditions.blocked(self, v.holders)
	case done.release.wait > 0:
		v.conditions.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, v1alpha1.ReasonPending, fmt.Sprintf(
			"No object references this manifest. The registry says that these tags do not exist, which nfo asks once more before it lets the manifest go: %s.", v1alpha1.FirstOf(done.release.absent, reference.NamedHolders)))
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted; DeletionBlocked says what it waits for.")
	case done.release.untouched != "":
		v.letGo = true
		v.conditions.untouched(done.release.untouched)
	default:
		v.letGo = true
		v.artifacts = untagged(v.artifacts)
		v.conditions.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionFalse, v1alpha1.ReasonReleased, "Nothing holds it.")
		v.conditions.set(v1alpha1.ConditionUntagged, metav1.ConditionTrue, v1alpha1.ReasonUntagged, done.release.outcome())
		v.conditions.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It has been released.")
	}
	return v
}

// stuck says why a manifest that nothing is known to hold is not let go.
func (seen manifestSeen) stuck(err error) string {
	if errors.Is(err, reference.ErrHoldersUnknown) {
		return fmt.Sprintf("This manifest may be in use: %s", explain(err))
	}
	return fmt.Sprintf("Nothing holds it, but it cannot be let go yet: %s It will be tried again. If the registry is gone for good, annotate the manifest or its store with %s=%s.",
		explain(err), v1alpha1.AnnotationOnDelete, v1alpha1.OnDeleteOrphan)
}

func untagged(artifacts []v1alpha1.ArtifactStatus) []v1alpha1.ArtifactStatus {
	var out []v1alpha1.ArtifactStatus
	for _, a := range artifacts {
		a.State = v1alpha1.ArtifactUntagged
		out = append(out, a)
	}
	return out
}

// outcome says what became of the tags of a manifest.
func (r released) outcome() string {
	if len(r.listed) == 0 {
		return r.tombstoned()
	}
	others := fmt.Sprintf("Other manifests list these tags, which stay: %s.", v1alpha1.FirstOf(r.listed, reference.NamedHolders))
	if len(r.tombstones) == 0 {
		return others
	}
	return r.tombstoned() + " " + others
}

func (r released) tombstoned() string {
	names := strings.Join(r.tombstones, ", ")
	switch {
	case names == "":
		return "No artifact of it was in the registry."
	case r.stay:
		return fmt.Sprintf("Its tags are recorded in tombstone %s. The registry cannot remove a tag alone: those that are there stay until a purge removes them with their digests.", names)
	}
	return fmt.Sprintf("Its tags are removed and recorded in tombstone %s. Apply the manifest again to restore them.", names)
}
