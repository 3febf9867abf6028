package artifact

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/reference"
)

const (
	// writeTries is how often a status is written if others have written meanwhile.
	writeTries = 5
	// seenEvery is how often the time of the source's last answer is written.
	seenEvery = time.Hour
)

// errGone says that the Artifact was deleted, or that a purge has claimed it.
var errGone = errors.New("the Artifact was deleted, or a purge removes its copy")

// +kubebuilder:rbac:groups=nfo.dev,resources=artifacts/status,verbs=patch

// change writes a status without overwriting what others have
// written, such as the users of the image. Errors wrap errGone.
func (r *Reconciler) change(ctx context.Context, a *v1alpha1.Artifact, change func(*v1alpha1.MirrorStatus)) error {
	for range writeTries {
		if a.Releasing() || !a.DeletionTimestamp.IsZero() {
			return errGone
		}
		before := a.DeepCopy()
		if change(&a.Status); equality.Semantic.DeepEqual(before.Status, a.Status) {
			return nil
		}
		err := r.Status().Patch(ctx, a, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		switch {
		case apierrors.IsConflict(err):
			before.DeepCopyInto(a)
			if err := r.current(ctx, a); err != nil {
				return err
			}
		case apierrors.IsNotFound(err):
			return errGone
		default:
			return err
		}
	}
	return fmt.Errorf("writing the status of %s: %w", v1alpha1.ResourceID(v1alpha1.KindArtifact, a.Namespace, a.Name), reference.ErrSuperseded)
}

// current reads an Artifact again. Errors wrap errGone.
func (r *Reconciler) current(ctx context.Context, a *v1alpha1.Artifact) error {
	var now v1alpha1.Artifact
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(a), &now)
	switch {
	case apierrors.IsNotFound(err), err == nil && (now.UID != a.UID || now.Releasing() || !now.DeletionTimestamp.IsZero()):
		return errGone
	case err != nil:
		return fmt.Errorf("reading %s: %w", v1alpha1.ResourceID(v1alpha1.KindArtifact, a.Namespace, a.Name), err)
	}
	now.DeepCopyInto(a)
	return nil
}

// gone ends a pass over an Artifact that no longer exists.
func (r *Reconciler) gone(err error) (ctrl.Result, error) {
	if errors.Is(err, errGone) {
		return ctrl.Result{}, nil
	}
	return pass.Finish(ctrl.Result{}, err)
}

// progress writes the progress of a copy.
func (r *Reconciler) progress(ctx context.Context, a *v1alpha1.Artifact, bytes, of int64) error {
	return r.change(ctx, a, func(to *v1alpha1.MirrorStatus) { to.CopiedPercent = new(percent(bytes, of)) })
}

// report writes the findings of a pass, and records transitions as events.
func (r *Reconciler) report(ctx context.Context, a *v1alpha1.Artifact, s seen, v verdict) error {
	was := a.Status
	if err := r.change(ctx, a, func(to *v1alpha1.MirrorStatus) { v.write(to, s, a.Generation) }); err != nil {
		return err
	}
	r.tell(a, was, s, v)
	return nil
}

// write sets a status from a verdict. It does not change the users of the image.
func (v verdict) write(to *v1alpha1.MirrorStatus, s seen, generation int64) {
	to.State, to.ObservedGeneration = v.state, generation
	if s.asked || s.reconcileNow == "" {
		to.LastReconcileNow = s.reconcileNow
	}
	if s.invalid == nil {
		to.Repository = s.image.MirrorRepository()
	}
	if v.state != v1alpha1.MirrorCopying && v.step == stepRest {
		to.CopiedPercent = nil
	} else if to.CopiedPercent == nil {
		to.CopiedPercent = new(int32(0))
	}
	if p := v.present; p != nil {
		to.Digest, to.MediaType, to.Size, to.CredentialsSecretRef = p.digest.String(), v1alpha1.Clip(p.mediaType, 255), p.size, nil
		if p.secret != "" {
			to.CredentialsSecretRef = &v1alpha1.LocalReference{Name: p.secret}
		}
	}
	now := metav1.NewTime(s.now.Truncate(time.Second))
	switch {
	case v.answered:
		to.SourceUnreachableSince = nil
		if to.SourceSeenAt == nil || now.Sub(to.SourceSeenAt.Time) >= seenEvery {
			to.SourceSeenAt = &now
		}
	case v.unreachable && to.SourceUnreachableSince == nil:
		to.SourceUnreachableSince = &now
	}
	var cs pass.Conditions
	cs.Set(v1alpha1.ConditionReady, v.status, v.reason, v.message)
	cs.Apply(&to.Conditions, generation)
}

// tell records transitions as events.
func (r *Reconciler) tell(a *v1alpha1.Artifact, was v1alpha1.MirrorStatus, s seen, v verdict) {
	const action = "Mirroring"
	note := v.message
	switch {
	case v.moved:
		pass.Tell(r.Events, a, corev1.EventTypeNormal, v1alpha1.ReasonTagMoved, action, fmt.Sprintf("The tag of %s has moved to %s, and the mirror has it.", s.image, v.want))
	case was.State == v1alpha1.MirrorPresent && v.step == stepCopy && s.lost():
		pass.Tell(r.Events, a, corev1.EventTypeWarning, v1alpha1.ReasonCorrupt, action, note)
	case was.State == v.state:
	case v.state == v1alpha1.MirrorPresent:
		pass.Tell(r.Events, a, corev1.EventTypeNormal, v1alpha1.ReasonPresent, action, note)
	case v.state == v1alpha1.MirrorFailed, v.state == v1alpha1.MirrorCorrupt:
		pass.Tell(r.Events, a, corev1.EventTypeWarning, v.reason, action, note)
	}
}
