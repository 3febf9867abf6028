package artifact

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/mirror"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
)

// The times until a failed Artifact is checked again, at first and at most. They double with each failure.
const (
	firstWait = 10 * time.Second
	slowWait  = 5 * time.Minute // if a person has to act
	mostWait  = 30 * time.Minute
	localMost = time.Minute // if the mirror itself does not answer
	busyWait  = 2 * time.Second
	oddWait   = 10 * time.Minute // for an image that is not mirrored
)

// step is what a pass does in the mirror.
type step int

const (
	stepRest  step = iota // nothing
	stepAdopt             // determine the size of the copy in the mirror
	stepRetag             // the same, and restore the tag of the copy
	stepTag               // copy the signatures, as far as they can be read, for an image that the mirror has, and move the tag
	stepCopy              // copy, and move the tag
)

// verdict is what an Artifact's status will say, and what to do.
type verdict struct {
	state           v1alpha1.MirrorState
	status          metav1.ConditionStatus
	reason, message string
	step            step
	// want is the digest to copy, and over the digest that the tag points to, "" for none.
	want digest.Digest
	over digest.Digest
	// answered is true if the source has answered, unreachable if it does not answer.
	answered, unreachable bool
	// present is the copy in the mirror if the Artifact is Present.
	present *copied
	// moved is true if present has another digest than before.
	moved bool
	pause pause
}

// copied is a complete copy in the mirror.
type copied struct {
	digest    digest.Digest
	mediaType string
	size      int64
	secret    string
}

// pause is how long until the next pass.
type pause struct {
	// first is the first time to wait; only a failed pause doubles it, up to most. 0 waits until something changes.
	first, most time.Duration
	failed      bool
	slow        bool          // failed because the copy has given up its place
	asked       time.Duration // the time that the source asked to wait
}

// wait returns the time until the next pass after a number of failures in a row, with a jitter of up to a tenth.
func (p pause) wait(failures int) time.Duration {
	d := doubled(p.first, p.most, failures-1)
	if p.failed {
		d = max(min(d, p.most), p.asked)
	}
	return d + rand.N(d/10+1)
}

// doubled doubles a time the given number of times, up to most.
func doubled(d, most time.Duration, times int) time.Duration {
	for range times {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}

// failed returns the pause after an error.
func failed(err error) pause {
	if c, _ := pass.Classify(err); c == pass.Stuck || errors.Is(err, registry.ErrNotFound) || errors.Is(err, platform.ErrNone) {
		return pause{first: slowWait, most: mostWait, failed: true}
	}
	return pause{first: firstWait, most: mostWait, failed: true, asked: registry.RetryAfter(err)}
}

const (
	waiting = "It waits for its turn to be copied."
	whole   = "The mirror has all of the image."
)

// notMirrored is the verdict for an image that the mirror does not copy.
var notMirrored = verdict{
	state: v1alpha1.MirrorFailed, status: metav1.ConditionFalse, reason: v1alpha1.ReasonNotMirrored, pause: pause{first: oddWait},
	message: "The image is not mirrored: no ArtifactStore contains it, it is in the cluster's own registry, or it is nfo's own. Make an ArtifactStore for its registry, or have an administrator set the chart's value mirror.images to All.",
}

// without decides without asking a registry. over is false if a registry has to be asked.
func (s seen) without() (v verdict, over bool) {
	was := s.artifact.Status.State
	switch {
	case s.invalid != nil:
		return verdict{state: v1alpha1.MirrorFailed, status: metav1.ConditionFalse, reason: v1alpha1.ReasonInvalidImage,
			message: fmt.Sprintf("spec.sourceArtifact is not an image reference in full, with host, repository, and tag or digest: %v. Delete this Artifact and make another one.", s.invalid)}, true
	case s.unready != "" && was == v1alpha1.MirrorPresent:
		return verdict{state: was, status: metav1.ConditionUnknown, reason: v1alpha1.ReasonMirrorNotReady, message: s.unready + " The image was present before."}, true
	case s.unready != "":
		return verdict{state: v1alpha1.MirrorPending, status: metav1.ConditionFalse, reason: v1alpha1.ReasonMirrorNotReady, message: s.unready}, true
	}
	return verdict{}, false
}

// decide is pure.
func decide(s seen) verdict {
	switch {
	case s.hereErr != nil:
		return s.unknown()
	case s.thereErr != nil:
		return s.unanswered()
	}
	want := s.there.Descriptor.Digest
	v := verdict{status: metav1.ConditionTrue, reason: v1alpha1.ReasonPresent, message: whole, state: v1alpha1.MirrorPresent, answered: true, want: want, over: s.here.Digest}
	status := &s.artifact.Status
	switch {
	case s.here.Digest == want && s.had() == want && status.Size > 0:
		v.present = &copied{digest: want, mediaType: s.there.Descriptor.MediaType, size: status.Size, secret: s.there.Secret}
		v.pause = s.refresh()
		return v
	case s.here.Digest == want && s.image.Digest == "":
		v.step = stepAdopt // an image with a tag was copied with its signatures
	case s.here.Digest == want, s.held:
		v.step = stepTag
	default:
		v.step = stepCopy
	}
	return s.copying(v)
}

// copying sets what the status says while a copy runs. Until the new copy is complete, the old copy still
// serves, and so does one that was made for another Artifact in the meantime, but not a damaged one.
func (s seen) copying(v verdict) verdict {
	was := s.artifact.Status.State
	v.status, v.reason, v.message = metav1.ConditionFalse, v1alpha1.ReasonCopying, "The image is being copied."
	v.state = v1alpha1.MirrorCopying
	switch {
	case was == v1alpha1.MirrorPresent && (s.here.Digest != "" || v.step != stepCopy):
		v.state, v.status = was, metav1.ConditionTrue
		v.message = fmt.Sprintf("The mirror has %s. The tag has moved to %s at the source, which is being copied.", s.serves(v.want), v.want)
	case v.step != stepCopy:
		v.state = was // this step takes a moment
		if was == "" {
			v.state = v1alpha1.MirrorPending
		}
	case was == v1alpha1.MirrorPresent || was == v1alpha1.MirrorCorrupt:
		v.message = "Something of the copy in the mirror is missing or damaged. The image is being copied again."
	}
	return v
}

// serves returns the digest that the mirror serves while want is copied.
func (s seen) serves(want digest.Digest) digest.Digest {
	if s.here.Digest == want {
		return s.had()
	}
	return cmp.Or(s.here.Digest, s.had())
}

// lost reports whether the mirror no longer has the image that it had.
func (s seen) lost() bool { return s.had() != "" && s.here.Digest == "" && s.hereErr == nil && !s.held }

// unknown returns the verdict when the mirror does not answer. That says nothing about what the mirror has.
func (s seen) unknown() verdict {
	v := verdict{state: s.artifact.Status.State, status: metav1.ConditionUnknown, pause: pause{first: firstWait, most: localMost, failed: true}}
	if v.state == "" || v.state == v1alpha1.MirrorCopying {
		v.state = v1alpha1.MirrorPending
	}
	v.reason = pass.ReasonOf(s.hereErr)
	v.message = fmt.Sprintf("The cluster's registry cannot be read: %v.", s.hereErr)
	return v
}

// unanswered returns the verdict when the source does not answer, or refuses. Nothing is removed for that reason.
func (s seen) unanswered() verdict {
	err := s.thereErr
	v := verdict{reason: pass.ReasonOf(err), status: metav1.ConditionFalse, pause: failed(err)}
	v.unreachable = !errors.Is(err, registry.ErrDenied) && !errors.Is(err, registry.ErrNotFound) && !registry.OfOne(err)
	was, has := s.artifact.Status.State, s.here.Digest != "" && s.had() != ""
	switch {
	case s.loaded():
		return s.adopt(v)
	case s.untagged() && (v.unreachable || s.allowed()):
		return s.retag(v)
	case has && (v.unreachable || s.allowed()) && (s.here.Digest == s.had() || v.unreachable && was == v1alpha1.MirrorPresent):
		v.state, v.status, v.reason = v1alpha1.MirrorPresent, metav1.ConditionTrue, v1alpha1.ReasonPresent
		v.message = fmt.Sprintf("%s %s Nothing is removed for that.", whole, s.silence(v.unreachable))
		v.pause = s.refresh()
	case s.lost():
		v.state, v.message = v1alpha1.MirrorCorrupt, fmt.Sprintf("Something of the copy in the mirror is missing or damaged, and it cannot be copied again: %s", explain(err))
	default:
		v.state, v.message = v1alpha1.MirrorFailed, fmt.Sprintf("The source cannot be read: %s", explain(err))
		if v.unreachable && s.here.Digest != "" {
			v.message += fmt.Sprintf(" The mirror has %s under this name, which counts for this namespace only once the source has answered to it, or with the chart's value mirror.rewrite=Always.", s.here.Digest)
		}
	}
	return v
}

// loaded reports whether somebody with the right to do so has pushed another copy into the mirror
// under the image's own name, while its source does not answer, or while a proxy refuses in its
// place. The copy counts only if pods pull from the mirror, or do not, whatever the state says. If
// pods relied on the state, a namespace would get an image that its source has never let it read.
func (s seen) loaded() bool {
	return s.here.Digest != "" && s.here.Digest != s.had() && s.anyway()
}

// anyway reports whether the state does not decide if pods pull from the mirror.
func (s seen) anyway() bool {
	policy := s.store.Spec.Mirror.Rewrite
	return policy == v1alpha1.RewriteAlways || policy == v1alpha1.RewriteNever
}

// allowed reports whether a namespace that the source refuses may use the mirror's
// copy: the source has let it read the image before, or the state decides nothing.
func (s seen) allowed() bool { return s.artifact.Status.SourceSeenAt != nil || s.anyway() }

// untagged reports whether the mirror has lost the tag of its copy, and still has the digest.
func (s seen) untagged() bool { return s.here.Digest == "" && s.held }

// retag restores the tag, for which the source is not needed.
func (s seen) retag(v verdict) verdict {
	v.step, v.want = stepRetag, s.had()
	v.state, v.reason, v.message = s.waits(), v1alpha1.ReasonCopying, "The mirror has lost the tag of the image, which is being put back."
	v.pause = pause{}
	return v
}

// adopt takes over the copy that was pushed into the mirror.
func (s seen) adopt(v verdict) verdict {
	v.step, v.want, v.over = stepAdopt, s.here.Digest, s.here.Digest
	v.state, v.reason, v.message = s.artifact.Status.State, v1alpha1.ReasonCopying, "The mirror has a copy that was pushed into it, which is being read."
	switch v.state {
	case v1alpha1.MirrorPresent:
		v.status = metav1.ConditionTrue
	case "":
		v.state = v1alpha1.MirrorPending
	default:
	}
	v.pause = pause{}
	return v
}

// silence describes why the source has given no answer.
func (s seen) silence(unreachable bool) string {
	if unreachable {
		since := s.now
		if at := s.artifact.Status.SourceUnreachableSince; at != nil {
			since = at.Time
		}
		return fmt.Sprintf("The source has not answered since %s: %v.", since.UTC().Format(time.RFC3339), s.thereErr)
	}
	return fmt.Sprintf("The source cannot be read: %v.", s.thereErr)
}

// refresh returns how long until the source is asked again.
func (s seen) refresh() pause {
	return pause{first: max(time.Minute, s.store.Spec.Mirror.RefreshPeriod.Duration)}
}

// conclude returns the verdict after a step.
func conclude(s seen, v verdict, done mirror.Copied, err error) verdict {
	before := v
	v.step = stepRest
	if err == nil {
		v.state, v.status, v.reason, v.message, v.pause = v1alpha1.MirrorPresent, metav1.ConditionTrue, v1alpha1.ReasonPresent, whole, s.refresh()
		v.present = &copied{digest: v.want, mediaType: cmp.Or(s.there.Descriptor.MediaType, s.here.MediaType, s.artifact.Status.MediaType), size: done.Size, secret: s.there.Secret}
		if ref := s.artifact.Status.CredentialsSecretRef; before.step == stepRetag && ref != nil {
			v.present.secret = ref.Name
		}
		v.moved = s.had() != "" && s.had() != v.want
		if v.unreachable {
			v.message = fmt.Sprintf("%s %s Nothing is removed for that.", whole, s.silence(true))
		}
		if done.Unattached != nil {
			v.message += fmt.Sprintf(" Signatures or other satellites of it are missing: %v.", done.Unattached)
		}
		return v
	}
	if errors.Is(err, mirror.ErrBusy) {
		v.pause = pause{first: busyWait}
		return v
	}
	var slow slowError
	if errors.As(err, &slow) {
		return s.gaveUp(v, slow)
	}
	v.pause, v.reason = failed(err), pass.ReasonOf(err)
	if errors.Is(err, platform.ErrNone) {
		v.reason = v1alpha1.ReasonNoPlatform
	}
	if before.state == v1alpha1.MirrorPresent { // the tag was overwritten at the source, and the mirror still has the old digest
		v.message = fmt.Sprintf("The mirror has %s. The tag has moved to %s at the source, which cannot be copied: %s", s.serves(v.want), v.want, explainCopy(err))
		v.status = metav1.ConditionFalse
		return v
	}
	v.state, v.status = v1alpha1.MirrorFailed, metav1.ConditionFalse
	if s.lost() {
		v.state = v1alpha1.MirrorCorrupt
	}
	v.message = fmt.Sprintf("The image cannot be copied: %s", explainCopy(err))
	return v
}

// gaveUp returns the verdict for a copy that has given up its place to others.
func (s seen) gaveUp(v verdict, slow slowError) verdict {
	v.pause = pause{first: yieldWait, most: mostYieldWait, failed: true, slow: true}
	v.message = fmt.Sprintf("Copying takes long, %.1f KiB/s, and images of other namespaces wait. The layers that are complete are kept.", float64(slow)/1024)
	if v.state == v1alpha1.MirrorPresent {
		v.message = fmt.Sprintf("The mirror has %s. The tag has moved to %s at the source. %s", s.serves(v.want), v.want, v.message)
		return v
	}
	if v.state == v1alpha1.MirrorCopying {
		v.state = s.waits()
	}
	return v
}

// waits returns the state of an Artifact whose copy waits for its turn.
func (s seen) waits() v1alpha1.MirrorState {
	if was := s.artifact.Status.State; was == v1alpha1.MirrorCorrupt || was == v1alpha1.MirrorPresent || s.lost() {
		return v1alpha1.MirrorCorrupt
	}
	return v1alpha1.MirrorPending
}

// explainCopy is explain for errors after the source has answered for the image.
func explainCopy(err error) string {
	switch {
	case errors.Is(err, platform.ErrNone):
		return err.Error() + ". An administrator adds one of its platforms to the chart's value mirror.platforms, or empties it for all. Until then nodes pull the image from its source."
	case errors.Is(err, registry.ErrNotFound):
		return err.Error() + ". A part of the image is missing: push the image to its source again, with all of its platforms."
	}
	return explain(err)
}

// explain describes an error, and what a person can do.
func explain(err error) string {
	remedy := ""
	switch {
	case errors.Is(err, registry.ErrDenied):
		remedy = " Check the imagePullSecrets of the pods, or of their ServiceAccount, in this namespace."
	case errors.Is(err, registry.ErrNotFound):
		remedy = " Check the name and the tag; a private registry may say so where a login is missing."
	case errors.Is(err, registry.ErrAddress):
		remedy = " Use a host that does not resolve to a loopback, link-local or cloud metadata address."
	case errors.Is(err, registry.ErrUnavailable):
		remedy = " Check the registry and the network, and for plain HTTP or a private certificate authority the ArtifactStore that contains the image."
	case errors.Is(err, registry.ErrUnreadable):
		remedy = " Push the image again."
	}
	return err.Error() + "." + remedy
}
