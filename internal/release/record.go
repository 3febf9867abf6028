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

// Record stores the digests that are about to lose their tags (I4) and returns the tombstone as stored. It first resets
// the entries whose tags exist or whose earlier release is over, so that an earlier grace period does not count for them.
func (r *Releaser) Record(ctx context.Context, t *v1alpha1.Tombstone, found []Finding) (*v1alpha1.Tombstone, error) {
	var refused error
	if t.ResourceVersion == "" { // after an interrupted release it exists already
		fresh := t.DeepCopy()
		grow(fresh, found)
		switch refused = r.API.Create(ctx, fresh); {
		case refused == nil:
			return fresh, nil
		case apierrors.IsForbidden(refused) && !NamespaceGone(refused): // the API server checks the quota before it checks whether the tombstone exists
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

// grow adds the findings to the tombstone's list. It never replaces a recorded digest: it only
// adds digests, and drops the oldest one of a full entry. The digest that the tag has now, or
// that was sealed, becomes the last one, which a restore uses. If the tag no longer exists, the
// digest that the manifest recorded may be older than the tombstone's, so it becomes the first.
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

// reset sets entries that are released another time to Pending, so that they are not purge
// candidates. An entry whose release was interrupted after its tag was removed keeps its state.
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

// BeginGrace starts the grace period of the entries that have lost their tags, and stores the tombstone.
func (r *Releaser) BeginGrace(ctx context.Context, t *v1alpha1.Tombstone, reasons map[string]string, keep time.Duration) error {
	if !t.BeginGrace(metav1.NewTime(r.Now()), keep, reasons) {
		return nil
	}
	if err := r.API.Status().Update(ctx, t); err != nil {
		return fmt.Errorf("recording that tags of tombstone %s/%s are removed: %w", t.Namespace, t.Name, err)
	}
	return nil
}
