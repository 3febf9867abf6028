package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
)

// conclude sets the conditions of a manifest that is not being deleted.
func (seen manifestSeen) conclude(v *manifestVerdict) {
	listed := v.artifacts[:len(seen.manifest.Spec.Artifacts)]
	short := slices.DeleteFunc(slices.Clone(listed), func(e v1alpha1.ArtifactStatus) bool { return v.returning[inventory.KeyOf(e)] })
	known := seen.polled || len(seen.manifest.Status.Artifacts) > 0 || len(listed) == 0
	switch {
	case seen.trouble != nil:
		_, reason := pass.Classify(seen.trouble)
		message := "Cannot read the registry: " + pass.Explain(seen.trouble)
		v.conditions.Set(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, reason, message)
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	case !known:
		v.conditions.Set(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, v1alpha1.ReasonPending, "The registry has not been asked yet.")
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonPending, "The registry has not been asked yet.")
	case seen.unasked > 0 && !seen.reported():
		message := fmt.Sprintf("The registry has been asked for %d of %d artifacts; the others follow.", len(listed)-seen.unasked, len(listed))
		v.conditions.Set(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, v1alpha1.ReasonPending, message)
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonPending, message)
	case len(inventory.Missing(short))+len(inventory.Moved(short)) > 0:
		reason, message := seen.shortfall(short)
		v.conditions.Set(v1alpha1.ConditionUploaded, metav1.ConditionFalse, reason, message)
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	case len(short) < len(listed):
		message := fmt.Sprintf("nfo restores %d of %d tags from tombstones. Nothing needs to be pushed.", len(listed)-len(short), len(listed))
		v.conditions.Set(v1alpha1.ConditionUploaded, metav1.ConditionFalse, v1alpha1.ReasonRestoring, message)
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRestoring, message)
	default:
		v.conditions.Set(v1alpha1.ConditionUploaded, metav1.ConditionTrue, v1alpha1.ReasonComplete, all(len(listed))+" in the registry.")
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "All artifacts are in the registry.")
	}
	if left := v.artifacts[len(listed):]; len(left) > 0 && len(v.holders) > 0 {
		v.conditions.EntryInUse(seen.manifest, left, v.holders)
	}
}

// all begins a sentence about all n artifacts: its subject and its verb.
func all(n int) string {
	if n == 1 {
		return "The only artifact is"
	}
	return fmt.Sprintf("All %d artifacts are", n)
}

// reported reports whether the status already says for this generation
// what the registry has, which means that all entries were asked for.
func (seen manifestSeen) reported() bool {
	c := inventory.Uploaded(seen.manifest)
	return c != nil && c.Status != metav1.ConditionUnknown && c.ObservedGeneration == seen.manifest.Generation
}

// after completes a verdict with the outcome of the acts. It is pure.
func (v manifestVerdict) after(seen manifestSeen, done manifestDone, err error) manifestVerdict {
	if v.again = done.again; v.again == 0 {
		v.again = seen.wait
	}
	if len(done.release.Holders) > 0 {
		v.holders = done.release.Holders
		v.conditions.Referenced(reference.Self(seen.manifest), v.holders)
	} else if v.release != nil && err == nil && !seen.manifest.DeletionTimestamp.IsZero() {
		v.holders = nil
	}
	if !seen.manifest.DeletionTimestamp.IsZero() {
		return v.afterDeleting(seen, done, err)
	}
	v = v.afterLive(seen, done, err)
	if inventory.Sealing(seen.manifest) && (err != nil || !seen.polled || seen.partial || seen.trouble != nil || v.unsteady) {
		before := int64(0)
		if c := inventory.Uploaded(seen.manifest); c != nil {
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
		v.artifacts = done.reseat.mark(v.artifacts)
	}
	for _, e := range v.artifacts {
		if slices.Contains(done.undone.Lost, e.Repository+":"+e.ArtifactVersion) {
			delete(v.returning, inventory.KeyOf(e))
		}
	}
	if done.recorded || len(done.undone.Lost) > 0 {
		seen.conclude(&v)
	}
	switch {
	case err != nil:
		if !done.recorded {
			v.artifacts = seen.manifest.Status.Artifacts // what could not be recorded counts as not seen
		}
		if !pass.Fleeting(err) {
			v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, pass.ReasonOf(err), "nfo will retry: "+pass.Explain(err))
		}
	case v.release == nil:
	case len(done.release.Holders) > 0:
		v.conditions.EntryInUse(seen.manifest, v.artifacts[listed:], v.holders)
	case done.release.Wait > 0: // the entries stay recorded until it is certain that their tags are removed
	default:
		v.artifacts = v.artifacts[:listed]
	}
	return v
}

func (v manifestVerdict) afterDeleting(seen manifestSeen, done manifestDone, err error) manifestVerdict {
	self := reference.Self(seen.manifest)
	held := len(done.release.Holders) > 0 || v.release == nil && len(v.holders) > 0
	switch {
	case err != nil && !held && pass.Fleeting(err): // retried within a second: not a state to report
		v.silent = true
	case err != nil && held && pass.Soon(err):
		v.conditions.Blocked(self, v.holders)
	case err != nil:
		if len(v.holders) == 0 && errors.Is(err, reference.ErrHoldersUnknown) {
			v.doubted = true
			v.conditions.ReferencedUnknown()
		}
		v.conditions.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, pass.ReasonOf(err), seen.stuck(err, held))
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted; DeletionBlocked says what it waits for.")
	case v.release == nil:
	case len(done.release.Holders) > 0:
		v.conditions.Blocked(self, v.holders)
	case done.release.Wait > 0:
		v.conditions.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, v1alpha1.ReasonPending, fmt.Sprintf(
			"No object references this manifest. The registry says that these tags do not exist, which nfo asks once more before it lets the manifest go: %s.", v1alpha1.FirstOf(done.release.Absent, reference.NamedHolders)))
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted; DeletionBlocked says what it waits for.")
	case done.release.Untouched != "":
		v.letGo = true
		v.conditions.Untouched(done.release.Untouched)
	default:
		v.letGo = true
		v.artifacts = untagged(v.artifacts)
		v.conditions.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionFalse, v1alpha1.ReasonReleased, "No object references it.")
		v.conditions.Set(v1alpha1.ConditionUntagged, metav1.ConditionTrue, v1alpha1.ReasonUntagged, done.release.Outcome())
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It has been released.")
	}
	return v
}

// waits returns what a release that is about to begin waits for: a registry that does not
// answer. The reason is empty if the registry answers, or if the status says it already.
func (seen manifestSeen) waits(v manifestVerdict) (reason, message string) {
	m := seen.manifest
	if v.release == nil || len(v.holders) > 0 || seen.store == nil || m.DeletionTimestamp.IsZero() {
		return "", ""
	}
	blocked := apimeta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionDeletionBlocked)
	said := blocked != nil && blocked.Status == metav1.ConditionTrue && blocked.Reason != v1alpha1.ReasonInUse
	reachable := apimeta.FindStatusCondition(seen.store.Status.Conditions, v1alpha1.ConditionReachable)
	if said || reachable == nil || reachable.Status != metav1.ConditionFalse {
		return "", ""
	}
	return reachable.Reason, fmt.Sprintf("No object references this manifest. Its deletion waits for the registry of ArtifactStore %s: %s nfo will retry.", seen.store.Name, reachable.Message)
}

// stuck explains why a manifest could not be released, or why the released tags of a held manifest are not restored yet.
func (seen manifestSeen) stuck(err error, held bool) string {
	if held {
		return fmt.Sprintf("Objects reference this manifest (see status.dependents), and nfo has not finished restoring what it had released: %s nfo will retry.", pass.Explain(err))
	}
	if errors.Is(err, reference.ErrHoldersUnknown) {
		return fmt.Sprintf("This manifest may be in use: %s. nfo checks again every minute.", strings.TrimSuffix(pass.Explain(err), "."))
	}
	return fmt.Sprintf("No object references this manifest, but it could not be released: %s nfo will retry. If the registry is gone permanently, annotate the manifest or its store with %s=%s.",
		pass.Explain(err), v1alpha1.AnnotationOnDelete, v1alpha1.OnDeleteOrphan)
}

func untagged(artifacts []v1alpha1.ArtifactStatus) []v1alpha1.ArtifactStatus {
	var out []v1alpha1.ArtifactStatus
	for _, a := range artifacts {
		a.State = v1alpha1.ArtifactUntagged
		out = append(out, a)
	}
	return out
}
