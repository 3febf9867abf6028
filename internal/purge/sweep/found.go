package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// maxFound bounds the entries of one tombstone of what was found, as the API does.
const maxFound = 1024

// recordFound gives what was found without a tag, and that nothing keeps, a tombstone: a full grace from
// now, because it may be a push that is not done yet. It also ends what a crash has interrupted.
func (s *sweeper) recordFound(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil // run has said so
	}
	byRepository := map[string][]digest.Digest{}
	for _, v := range s.order {
		if v.Found() {
			byRepository[v.Repository] = append(byRepository[v.Repository], v.Digest)
		}
	}
	var errs []error
	for _, t := range s.planned.Tombstones {
		if t.Spec.Cause == v1alpha1.CauseFound {
			errs = append(errs, s.begin(ctx, t))
		}
	}
	for _, repository := range slices.Sorted(maps.Keys(byRepository)) {
		err := s.recordFoundIn(ctx, repository, byRepository[repository])
		if err != nil && !apierrors.IsConflict(err) { // the next run finds it again
			errs = append(errs, fmt.Errorf("writing a tombstone of what has no tag in %s: %w", repository, err))
		}
	}
	return errors.Join(errs...)
}

// recordFoundIn adds digests to the one tombstone that a repository has for what was found in it.
func (s *sweeper) recordFoundIn(ctx context.Context, repository string, ds []digest.Digest) error {
	home, ours := s.planned.Homes[repository]
	if !ours {
		return nil
	}
	t, err := s.graveOf(ctx, &v1alpha1.Tombstone{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.key.Namespace, Name: v1alpha1.TombstoneName(home.Name, home.UID, v1alpha1.TombstoneSuffix(v1alpha1.CauseFound, repository)),
		},
		Spec: v1alpha1.TombstoneSpec{
			RegistryURL: s.planned.Store.RegistryURL(), Manifest: *home.DeepCopy(),
			Cause: v1alpha1.CauseFound, GracePeriod: s.planned.Store.Spec.Purge.GracePeriod,
		},
	})
	if err != nil {
		return err
	}
	isNew := t.ResourceVersion == ""
	var anew []string // of what an earlier purge was done with, and that is still there, or again
	for _, d := range ds {
		tag := graph.UndoTag(d)
		if state := t.Entry(repository, tag).State; has(t, repository, tag) && (state == v1alpha1.TombstoneRestored || state == v1alpha1.TombstonePurged) {
			anew = append(anew, tag)
		}
		if len(t.Spec.Artifacts) < maxFound && !has(t, repository, tag) {
			t.Spec.Artifacts = append(t.Spec.Artifacts, v1alpha1.TombstoneArtifact{Repository: repository, Tag: tag, Digests: []string{d.String()}})
		}
	}
	s.log.Info("Found image manifests without a tag; their grace begins", "repository", repository, "number", len(ds))
	if isNew {
		err = s.api.Create(ctx, t)
	} else {
		err = s.api.Update(ctx, t)
	}
	if err != nil {
		return err
	}
	for _, tag := range anew {
		t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: repository, Tag: tag, State: v1alpha1.TombstonePending})
	}
	return s.begin(ctx, t)
}

// graveOf returns a tombstone as it is stored, or as it would be if it does not exist yet.
func (s *sweeper) graveOf(ctx context.Context, t *v1alpha1.Tombstone) (*v1alpha1.Tombstone, error) {
	stored := &v1alpha1.Tombstone{}
	switch err := s.api.Get(ctx, client.ObjectKeyFromObject(t), stored); {
	case apierrors.IsNotFound(err):
		return t, nil
	case err != nil:
		return nil, err
	case !tombstone.SamePlace(stored, t):
		t.Name = tombstone.Elsewhere(t)
		return s.graveOf(ctx, t)
	}
	return stored, nil
}

func has(t *v1alpha1.Tombstone, repository, tag string) bool {
	return slices.ContainsFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool { return a.Repository == repository && a.Tag == tag })
}

// begin begins the grace of the entries that have none yet.
func (s *sweeper) begin(ctx context.Context, t *v1alpha1.Tombstone) error {
	if !t.BeginGrace(metav1.NewTime(s.now()), 0, nil) {
		return nil
	}
	return client.IgnoreNotFound(s.api.Status().Update(ctx, t))
}

// backInUse reports whether what was found without a tag has a use again, or was pushed again: a later loss of it is
// another one, with a grace of its own.
func (s *sweeper) backInUse(e plan.Entry) bool {
	r, read := s.readings[e.Repository]
	if e.Tombstone.Spec.Cause != v1alpha1.CauseFound || !read || r.Err != nil {
		return false
	}
	// The last digest is the one that was found, the others are its parts.
	if n := len(e.Valid); r.Unreferenced != nil && n > 0 && !r.Unreferenced[e.Valid[n-1]] && !r.Missing[e.Valid[n-1]] {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[e.Repository] == nil {
		s.used[e.Repository] = s.planned.Used(e.Repository, r.Graph)
	}
	return slices.ContainsFunc(e.Valid, func(d digest.Digest) bool {
		_, used := s.used[e.Repository][d]
		return used
	})
}
