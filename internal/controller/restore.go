package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/registry"
)

// undone is how a restore ended: the tags that are back, and those whose digest is gone.
type undone struct{ back, lost []string }

// restore puts tags back from a tombstone (I5). wanted says which entries. Each entry is claimed
// first (I13): whoever loses the write reads again. What is back is recorded also when the next
// tag fails, so that each try begins where the last one ended. The tombstone goes when nothing of
// it is left.
func (r *releaser) restore(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, t *v1alpha1.Tombstone, wanted func(v1alpha1.TombstoneArtifact) bool) (undone, error) {
	claimed, err := r.claim(ctx, t, wanted)
	if err != nil {
		return undone{}, err
	}
	if len(claimed) == 0 {
		return undone{}, r.clear(ctx, t)
	}
	var out undone
	write, cancel := context.WithTimeout(ctx, maxEvidence)
	defer cancel()
	undoTags := &lifting{releaser: r, reg: reg, store: s, tombstone: t}
	var failed error
	for i, a := range claimed {
		if failed = out.add(write, undoTags, a); failed == nil {
			continue
		}
		failed = fmt.Errorf("restoring %s:%s: %w", a.Repository, a.Tag, failed) // the claim stays; the next pass goes on with it
		if i == 0 {
			return out, failed
		}
		break
	}
	t.Summarise()
	if err := r.api.Status().Update(ctx, t); err != nil {
		return out, errors.Join(failed, fmt.Errorf("recording what tombstone %s/%s gave back: %w", t.Namespace, t.Name, err))
	}
	if failed != nil {
		return out, failed
	}
	return out, r.clear(ctx, t)
}

// add puts one tag back and sets its entry. The undo tag goes after the tag is back and before
// that is recorded, so that an interruption leaves nothing behind that nobody knows of.
func (u *undone) add(ctx context.Context, l *lifting, a v1alpha1.TombstoneArtifact) error {
	ref := a.Repository + ":" + a.Tag
	e := l.tombstone.Entry(a.Repository, a.Tag)
	e.State, e.Reason = v1alpha1.TombstoneRestored, ""
	err := l.reg.PutTag(ctx, a.Repository, a.Tag, digest.Digest(restoredDigest(a)))
	switch {
	case errors.Is(err, registry.ErrTagTaken):
		e.Reason = "TagTaken: the tag is there already and was left as it is"
	case errors.Is(err, registry.ErrNotFound):
		e.State, e.Reason = v1alpha1.TombstonePurged, digestLost
		u.lost = append(u.lost, ref)
	case err != nil:
		return err
	default:
		if err := l.lift(ctx, a); err != nil {
			return err
		}
		u.back = append(u.back, ref)
	}
	l.tombstone.SetEntry(e)
	return nil
}

// clear deletes a tombstone that nothing is left of, if nobody has written it since.
func (r *releaser) clear(ctx context.Context, t *v1alpha1.Tombstone) error {
	if t.UID == "" || !t.Consumed() {
		return nil
	}
	err := r.api.Delete(ctx, t, client.Preconditions{UID: &t.UID, ResourceVersion: &t.ResourceVersion})
	return client.IgnoreNotFound(err)
}

// claim marks the wanted entries Restoring in one write that fails if anybody else wrote. t
// becomes what is stored; its UID is empty when it has gone.
func (r *releaser) claim(ctx context.Context, t *v1alpha1.Tombstone, wanted func(v1alpha1.TombstoneArtifact) bool) ([]v1alpha1.TombstoneArtifact, error) {
	key := client.ObjectKeyFromObject(t)
	*t = v1alpha1.Tombstone{}
	if err := r.live.Get(ctx, key, t); err != nil {
		t.UID = ""
		return nil, client.IgnoreNotFound(err)
	}
	var claimed []v1alpha1.TombstoneArtifact
	for _, a := range t.Spec.Artifacts {
		if !wanted(a) {
			continue
		}
		e := t.Entry(a.Repository, a.Tag)
		switch e.State {
		case v1alpha1.TombstoneRestored, v1alpha1.TombstonePurged:
			continue
		case v1alpha1.TombstoneSweeping:
			if running, err := r.purging(ctx, t); running || err != nil {
				return nil, errors.Join(err, fmt.Errorf("restoring %s:%s: %w", a.Repository, a.Tag, errClaimed))
			}
		}
		e.State, e.Reason = v1alpha1.TombstoneRestoring, ""
		t.SetEntry(e)
		claimed = append(claimed, a)
	}
	if len(claimed) == 0 {
		return nil, nil
	}
	t.Summarise()
	if err := r.api.Status().Update(ctx, t); err != nil {
		return nil, fmt.Errorf("claiming tombstone %s/%s: %w", t.Namespace, t.Name, err)
	}
	return claimed, nil
}

// purging reports whether a purge that may have claimed the tombstone is alive: it holds the
// Lease of a store of the namespace. The claim of a purge that died is nobody's.
func (r *releaser) purging(ctx context.Context, t *v1alpha1.Tombstone) (bool, error) {
	var stores v1alpha1.ArtifactStoreList
	if err := r.live.List(ctx, &stores, client.InNamespace(t.Namespace)); err != nil {
		return true, err
	}
	for _, s := range stores.Items {
		var lease coordinationv1.Lease
		err := r.live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: purge.LeaseName(s.Name)}, &lease)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return true, err
		}
		if l := lease.Spec; l.HolderIdentity != nil && *l.HolderIdentity != "" && l.RenewTime != nil && l.LeaseDurationSeconds != nil &&
			r.clock.Since(l.RenewTime.Time) < 2*time.Duration(*l.LeaseDurationSeconds)*time.Second {
			return true, nil
		}
	}
	return false, nil
}
