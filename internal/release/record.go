package release

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// Record stores what is about to lose its tag (I4) and returns the tombstone as stored. Entries
// whose tag is there are reset first, so that no grace of an earlier release counts for them.
func (r *Releaser) Record(ctx context.Context, t *v1alpha1.Tombstone, found []Finding) (*v1alpha1.Tombstone, error) {
	var refused error
	if t.ResourceVersion == "" { // of a release that was interrupted there is one already
		fresh := t.DeepCopy()
		grow(fresh, found)
		switch refused = r.API.Create(ctx, fresh); {
		case refused == nil:
			return fresh, nil
		case apierrors.IsForbidden(refused) && !NamespaceGone(refused): // a quota is asked before it is known that there is one
		case !apierrors.IsAlreadyExists(refused):
			return nil, fmt.Errorf("writing tombstone %s/%s: %w", t.Namespace, t.Name, refused)
		}
	}
	stored := &v1alpha1.Tombstone{}
	switch err := r.Live.Get(ctx, client.ObjectKeyFromObject(t), stored); {
	case apierrors.IsNotFound(err) && apierrors.IsForbidden(refused):
		return nil, fmt.Errorf("writing tombstone %s/%s: %w", t.Namespace, t.Name, refused)
	case err != nil:
		return nil, fmt.Errorf("reading tombstone %s/%s: %w", t.Namespace, t.Name, err)
	case !tombstone.SamePlace(stored, t):
		other := t.DeepCopy()
		other.Name = tombstone.Elsewhere(t)
		return r.Record(ctx, other, found)
	}
	found = slices.Clone(found)
	for i := range found {
		e := stored.Entry(found[i].Repository, found[i].ArtifactVersion)
		found[i].anew = e.State == v1alpha1.TombstoneRestored || e.State == v1alpha1.TombstonePurged
	}
	if reset(stored, found) {
		if err := r.API.Status().Update(ctx, stored); err != nil {
			return nil, fmt.Errorf("resetting tombstone %s/%s: %w", t.Namespace, t.Name, err)
		}
	}
	if grow(stored, found) {
		if err := r.API.Update(ctx, stored); err != nil {
			return nil, fmt.Errorf("adding digests to tombstone %s/%s: %w", t.Namespace, t.Name, err)
		}
	}
	return stored, nil
}

// grow adds what was found to the tombstone's list. Digests are only ever added; the one seen
// now, or that was sealed, becomes the last, which is the one that a restore takes. What was recorded of a tag that is
// no longer there may be older than what a release that is not done yet has seen.
func grow(t *v1alpha1.Tombstone, found []Finding) (changed bool) {
	for _, f := range found {
		i := slices.IndexFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool {
			return a.Repository == f.Repository && a.Tag == f.ArtifactVersion
		})
		if i < 0 {
			t.Spec.Artifacts = append(t.Spec.Artifacts, v1alpha1.TombstoneArtifact{Repository: f.Repository, Tag: f.ArtifactVersion})
			i = len(t.Spec.Artifacts) - 1
		}
		changed = f.growEntry(&t.Spec.Artifacts[i]) || changed
	}
	return changed
}

// reset makes the entries that are released once more start anew: not a candidate, whatever
// they were before.
func reset(t *v1alpha1.Tombstone, found []Finding) (changed bool) {
	for _, f := range found {
		e := t.Entry(f.Repository, f.ArtifactVersion)
		fresh := e.State == v1alpha1.TombstonePending && e.UntaggedAt == nil
		resumed := !f.There && (e.State == v1alpha1.TombstoneUntagged || e.State == v1alpha1.TombstoneKept)
		if fresh || resumed {
			continue
		}
		t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: f.Repository, Tag: f.ArtifactVersion, State: v1alpha1.TombstonePending})
		changed = true
	}
	if changed {
		t.Summarise()
	}
	return changed
}

// BeginGrace begins the grace of what has lost its tag, and stores that.
func (r *Releaser) BeginGrace(ctx context.Context, t *v1alpha1.Tombstone, reasons map[string]string, keep time.Duration) error {
	if !t.BeginGrace(metav1.NewTime(r.Now()), keep, reasons) {
		return nil
	}
	if err := r.API.Status().Update(ctx, t); err != nil {
		return fmt.Errorf("recording that tags of tombstone %s/%s are removed: %w", t.Namespace, t.Name, err)
	}
	return nil
}
