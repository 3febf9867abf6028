package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// Undone is how a restore ended.
type Undone struct {
	Back []string // the restored tags
	Lost []string // the tags whose digest the registry says does not exist, and did not say before
	More bool     // some tags are restored, and others can be tried again at once
}

// restoring is the restore of tags from one tombstone (I5). It first claims each entry (I13): a restore that loses the write
// to another writer has to read again. A claim stays until its entry is settled, so that an interrupted restore is resumed.
type restoring struct {
	*Releaser
	reg       *registry.Client
	tombstone *v1alpha1.Tombstone
	evidence  *standing
	undoTags  *undoTagRemover
}

// Restore restores the tags of a tombstone for which wanted returns true. still, if not nil,
// checks that the tags are still to be restored; it is called again whenever its last answer
// is too old. Restore deletes the tombstone once all of its entries are restored or purged.
func (r *Releaser) Restore(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, t *v1alpha1.Tombstone,
	wanted func(v1alpha1.TombstoneArtifact) bool, still func(context.Context) error,
) (Undone, error) {
	run := &restoring{
		Releaser: r, reg: reg, tombstone: t, evidence: &standing{check: still, clock: r.Clock},
		undoTags: newUndoTagRemover(r, reg, s, t),
	}
	todo, err := run.open(ctx, wanted)
	if err != nil || len(todo) == 0 {
		return Undone{}, errors.Join(err, r.clear(ctx, t))
	}
	var out Undone
	claimed, err := run.claim(ctx, todo, &out)
	if err != nil || len(claimed) == 0 {
		return out, err
	}
	failed := run.putAll(ctx, claimed, &out)
	t.Prolong(s.Spec.Purge.GracePeriod.Duration)
	t.Summarise()
	if err := r.API.Status().Update(ctx, t); err != nil {
		return out, errors.Join(failed, fmt.Errorf("recording what was restored from tombstone %s/%s: %w", t.Namespace, t.Name, err))
	}
	if failed == nil {
		return out, r.clear(ctx, t)
	}
	if len(out.Back) > 0 { // the remaining tags are left to the next pass
		log.FromContext(ctx).Info("Restored some tags of a tombstone, goes on with the others", "tombstone", t.Name, "restored", len(out.Back), "trouble", failed.Error())
		out.More = true
		return out, nil
	}
	return out, failed
}

// open reads the tombstone, live, and returns the entries that are wanted and can
// be restored. It sets the tombstone's UID to "" if the tombstone no longer exists.
func (r *restoring) open(ctx context.Context, wanted func(v1alpha1.TombstoneArtifact) bool) ([]v1alpha1.TombstoneArtifact, error) {
	t := r.tombstone
	key := client.ObjectKeyFromObject(t)
	*t = v1alpha1.Tombstone{}
	if err := r.Live.Get(ctx, key, t); err != nil {
		t.UID = ""
		return nil, client.IgnoreNotFound(err)
	}
	var todo []v1alpha1.TombstoneArtifact
	claimedByPurge := false
	for _, a := range t.Spec.Artifacts {
		if !wanted(a) {
			continue
		}
		switch t.Entry(a.Repository, a.Tag).State {
		case v1alpha1.TombstoneRestored, v1alpha1.TombstonePurged:
			continue
		case v1alpha1.TombstoneSweeping:
			claimedByPurge = true
		}
		todo = append(todo, a)
	}
	if !claimedByPurge {
		return todo, nil
	}
	running, err := r.Purges.running(ctx, r.Live, t.Namespace)
	if err == nil && running {
		err = ErrClaimed
	}
	if err != nil {
		return nil, fmt.Errorf("restoring from tombstone %s/%s: %w", t.Namespace, t.Name, err)
	}
	return todo, nil
}

// Chosen verifies that among has all tombstones of a manifest at a place from which tags can be restored. A cache
// may lack the latest tombstone, whose digest is the one to restore. The error wraps reference.ErrSuperseded.
func (r *Releaser) Chosen(ctx context.Context, m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation, among []v1alpha1.Tombstone) error {
	var all v1alpha1.TombstoneList
	if err := r.Live.List(ctx, &all, client.InNamespace(m.Namespace), client.MatchingFields{tombstone.ByManifest: m.Name}); err != nil {
		return fmt.Errorf("looking for later tombstones of manifest %s/%s: %w", m.Namespace, m.Name, err)
	}
	for _, t := range tombstone.Here(all.Items, l) {
		undoes := t.Spec.Cause == v1alpha1.CauseReleased || t.Spec.Cause == v1alpha1.CauseRemoved
		if undoes && !slices.ContainsFunc(among, func(o v1alpha1.Tombstone) bool { return o.UID == t.UID }) {
			return fmt.Errorf("restoring tags of manifest %s/%s before tombstone %s: %w", m.Namespace, m.Name, t.Name, reference.ErrSuperseded)
		}
	}
	return nil
}

// claim marks the entries Restoring in one write, which fails if another writer has changed the tombstone. An
// entry whose digest is known to be lost, or was deleted by a purge, is claimed only if its digest exists again.
func (r *restoring) claim(ctx context.Context, todo []v1alpha1.TombstoneArtifact, out *Undone) ([]v1alpha1.TombstoneArtifact, error) {
	var claimed []v1alpha1.TombstoneArtifact
	said := false
	for _, a := range todo {
		e := r.tombstone.Entry(a.Repository, a.Tag)
		known := strings.HasPrefix(e.Reason, v1alpha1.ReasonUndoLost)
		gone, err := r.gone(ctx, a, known || a.Spent(e))
		switch {
		case err != nil:
			return nil, fmt.Errorf("restoring %s:%s: %w", a.Repository, a.Tag, err)
		case gone && known:
			continue
		case gone: // the manifest no longer waits for the digest, and asks for a push
			e.State, e.Reason, said = v1alpha1.TombstoneUntagged, tombstone.DigestDeleted, true
			r.tombstone.SetEntry(e)
			out.Lost = append(out.Lost, a.Repository+":"+a.Tag)
			continue
		}
		e.State, e.Reason, e.MissingSince = v1alpha1.TombstoneRestoring, "", nil
		r.tombstone.SetEntry(e)
		claimed = append(claimed, a)
	}
	if len(claimed) == 0 && !said {
		return nil, nil
	}
	r.tombstone.Summarise()
	if err := r.API.Status().Update(ctx, r.tombstone); err != nil {
		return nil, fmt.Errorf("claiming tombstone %s/%s: %w", r.tombstone.Namespace, r.tombstone.Name, err)
	}
	return claimed, nil
}

// gone reports whether the registry still lacks the digest that
// a restore uses. It asks only if the digest was missing before.
func (r *restoring) gone(ctx context.Context, a v1alpha1.TombstoneArtifact, before bool) (bool, error) {
	if !before {
		return false, nil
	}
	_, err := r.reg.Resolve(ctx, a.Repository, tombstone.RestoredDigest(a))
	if errors.Is(err, registry.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// putAll restores the claimed tags, tagsAtOnce at a time, and sets their
// entries. A tag that fails keeps its claim and does not stop the others.
func (r *restoring) putAll(ctx context.Context, claimed []v1alpha1.TombstoneArtifact, out *Undone) error {
	listed, errs := make([][]string, len(claimed)), make([]error, len(claimed))
	var g errgroup.Group
	g.SetLimit(tagsAtOnce)
	for i, a := range claimed {
		g.Go(func() error {
			errs[i] = r.evidence.act(ctx, func(ctx context.Context) (err error) {
				listed[i], err = r.reg.PutTag(ctx, a.Repository, a.Tag, digest.Digest(tombstone.RestoredDigest(a)))
				return err
			})
			return nil // the error is in errs
		})
	}
	_ = g.Wait()
	var failed error
	for i, a := range claimed {
		if err := r.settle(ctx, a, listed[i], errs[i], out); err != nil && failed == nil {
			failed = fmt.Errorf("restoring %s:%s: %w", a.Repository, a.Tag, err)
		}
	}
	return failed
}

// settle sets the entry of a tag by the result of restoring it. The undo tag is removed after the tag is
// restored and before that is recorded, so that an interruption leaves no undo tag that no entry knows.
func (r *restoring) settle(ctx context.Context, a v1alpha1.TombstoneArtifact, listed []string, putErr error, out *Undone) error {
	ref := a.Repository + ":" + a.Tag
	e := r.tombstone.Entry(a.Repository, a.Tag)
	e.State = v1alpha1.TombstoneUntagged
	if e.UntaggedAt == nil {
		e.State = v1alpha1.TombstonePending
	}
	switch {
	case errors.Is(putErr, registry.ErrTagTaken):
		// Until now the manifest's list has protected the digest, whatever its grace
		// period. From now on only a grace period does, so a whole one begins.
		e.State, e.UntaggedAt = v1alpha1.TombstoneUntagged, new(metav1.NewTime(r.Now()))
		e.Reason = v1alpha1.ReasonTagTaken + ": the tag is at another digest and was left there"
		r.Journal.NotRestored(ctx, r.tagOf(a), v1alpha1.ReasonTagTaken)
	case errors.Is(putErr, registry.ErrNotFound): // the entry stays for its grace period, because the registry may be wrong
		e.Reason, e.MissingSince = tombstone.DigestLost, new(metav1.NewTime(r.Now()))
		out.Lost = append(out.Lost, ref)
		r.Journal.NotRestored(ctx, r.tagOf(a), v1alpha1.ReasonUndoLost)
	case putErr != nil:
		return putErr
	default:
		if err := r.undoTags.remove(ctx, a, listed); err != nil {
			return err
		}
		e.State = v1alpha1.TombstoneRestored
		out.Back = append(out.Back, ref)
		r.Journal.Restored(ctx, r.tagOf(a))
	}
	r.tombstone.SetEntry(e)
	return nil
}

// clear deletes a tombstone whose entries are all restored or purged, if it has not been written since.
func (r *Releaser) clear(ctx context.Context, t *v1alpha1.Tombstone) error {
	if t.UID == "" || !t.Consumed() {
		return nil
	}
	err := r.API.Delete(ctx, t, client.Preconditions{UID: &t.UID, ResourceVersion: &t.ResourceVersion})
	return client.IgnoreNotFound(err)
}

// standing is a check that several writes rely on, and the time when it last began. It is safe for concurrent use.
type standing struct {
	check func(context.Context) error // nil: nothing has to be checked
	clock interface {
		Now() time.Time
		Since(time.Time) time.Duration
	}

	mu sync.Mutex
	at time.Time // when the last check began; zero if there was none
}

// act writes while the last check counts. It checks again first if half of that time has passed (I3).
func (s *standing) act(ctx context.Context, write func(context.Context) error) error {
	left, err := s.left(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	return write(ctx)
}

func (s *standing) left(ctx context.Context) (time.Duration, error) {
	if s.check == nil {
		return MaxEvidence, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() || s.clock.Since(s.at) > MaxEvidence/2 {
		at := s.clock.Now()
		if err := s.check(ctx); err != nil {
			return 0, err
		}
		s.at = at
	}
	return MaxEvidence - s.clock.Since(s.at), nil
}
