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

// maxFound is the most entries that the API allows in a tombstone.
const maxFound = 1024

// recordFound writes tombstones for digests that were found without a tag and that nothing
// keeps. Their full grace period begins now, because a digest may belong to a push that has
// not ended. It also begins the grace period of entries for which a crash prevented it.
func (s *sweeper) recordFound(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil // run has returned the error
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

// recordFoundIn adds digests to the one tombstone that a repository has for found digests.
func (s *sweeper) recordFoundIn(ctx context.Context, repository string, ds []digest.Digest) error {
	home, ours := s.planned.Homes[repository]
	if !ours {
		return nil
	}
	t, err := s.storedTombstone(ctx, &v1alpha1.Tombstone{
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
	var anew []string // an earlier purge was done with these, and they still exist or exist again
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

// storedTombstone returns the stored tombstone with the name of t, or t itself if there
// is none yet. If that tombstone belongs to another place, t gets another name.
func (s *sweeper) storedTombstone(ctx context.Context, t *v1alpha1.Tombstone) (*v1alpha1.Tombstone, error) {
	stored := &v1alpha1.Tombstone{}
	switch err := s.api.Get(ctx, client.ObjectKeyFromObject(t), stored); {
	case apierrors.IsNotFound(err):
		return t, nil
	case err != nil:
		return nil, err
	case !tombstone.SamePlace(stored, t):
		t.Name = tombstone.Elsewhere(t)
		return s.storedTombstone(ctx, t)
	}
	return stored, nil
}

func has(t *v1alpha1.Tombstone, repository, tag string) bool {
	return slices.ContainsFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool { return a.Repository == repository && a.Tag == tag })
}

// begin begins the grace period of the entries that have none yet.
func (s *sweeper) begin(ctx context.Context, t *v1alpha1.Tombstone) error {
	if !t.BeginGrace(metav1.NewTime(s.now()), 0, nil) {
		return nil
	}
	return client.IgnoreNotFound(s.api.Status().Update(ctx, t))
}

// backInUse reports whether a digest that was found without a tag is used or
// was pushed again. If it loses its tag later, a new grace period begins.
func (s *sweeper) backInUse(e plan.Entry) bool {
	r, read := s.readings[e.Repository]
	if e.Tombstone.Spec.Cause != v1alpha1.CauseFound || !read || r.Err != nil {
		return false
	}
	// The last digest is the one that was found. The others are its parts.
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
