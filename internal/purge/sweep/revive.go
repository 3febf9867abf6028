package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
)

// notUntagged is the reason of an entry without a status whose tag is still in the registry.
const notUntagged = "NotUntagged: the tag is still in the registry, and no manifest lists it. To release it, apply the manifest again and delete it"

// revive finds out what became of forgotten entries. It relies only on what the registry shows. If
// a tag is missing, a full grace period begins now, because it is unknown when the tag was removed.
func (s *sweeper) revive(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil // run has returned the error
	}
	var errs []error
	for _, t := range s.planned.Tombstones {
		changed := false
		for _, e := range s.byTombstone[t.UID] {
			if s.planned.Forgotten(e) {
				changed = s.reviveEntry(t, e) || changed
			}
		}
		if !changed {
			continue
		}
		t.Summarise()
		s.log.Info("A tombstone had no status; its grace begins", "tombstone", t.Name)
		if err := s.api.Status().Update(ctx, t); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("writing what became of tombstone %s/%s: %w", t.Namespace, t.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *sweeper) reviveEntry(t *v1alpha1.Tombstone, e plan.Entry) (changed bool) {
	r, read := s.readings[e.Repository]
	if !read || r.Err != nil || len(r.Dangling) > 0 {
		return false
	}
	was := t.Entry(e.Repository, e.Tag)
	is, now := was, metav1.NewTime(s.now())
	switch at := r.Graph.Target(e.Tag); {
	case at == "":
		is.State, is.UntaggedAt, is.Reason = v1alpha1.TombstoneUntagged, &now, ""
	case at != digest.Digest(e.Digests[len(e.Digests)-1]):
		is.State, is.UntaggedAt, is.Reason = v1alpha1.TombstoneUntagged, &now, v1alpha1.ReasonTagTaken+": the tag is at another digest"
	case e.Listed:
		is.State, is.Reason = v1alpha1.TombstoneRestored, ""
	default:
		is.State, is.Reason = v1alpha1.TombstonePending, notUntagged
	}
	if is.State == was.State && strings.EqualFold(is.Reason, was.Reason) {
		return false
	}
	if is.UntaggedAt != nil {
		t.Status.RestorableUntil = new(metav1.NewTime(now.Add(max(t.Spec.GracePeriod.Duration, s.planned.Store.Spec.Purge.GracePeriod.Duration))))
	}
	t.SetEntry(is)
	return true
}
