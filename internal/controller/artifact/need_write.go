package artifact

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// needPerSecond is the most Artifacts that are created or written a second, in all namespaces.
const needPerSecond = 20

// write creates the missing Artifacts, one for each namespace in turn, and then
// writes the users of Artifacts. An error in one namespace does not delay the others.
func (r *NeedReconciler) write(ctx context.Context, n need) error {
	limit := rate.NewLimiter(needPerSecond, needPerSecond)
	failed := map[string]error{}
	for name, more := range n.dropped {
		log.FromContext(ctx).Info("A namespace uses more images than are mirrored of one", "namespace", name, "most", maxNeeded, "more", more)
	}
	for name, coarse := range n.coarse {
		if coarse {
			log.FromContext(ctx).Info("A namespace uses more images than are told apart; those that have no Artifact are not mirrored", "namespace", name)
		}
	}
	if err := r.createAll(ctx, &n, limit, failed); err != nil {
		return err
	}
	unwritten := map[string]error{} // separate from the Artifacts that cannot be created, which any namespace's ResourceQuota can refuse
	for _, c := range n.used {
		if unwritten[c.was.Namespace] != nil {
			continue
		}
		if err := limit.Wait(ctx); err != nil {
			return errUnwritten{fmt.Errorf("recording who uses artifacts: %w", err)}
		}
		if err := r.patch(ctx, c); err != nil {
			unwritten[c.was.Namespace] = fmt.Errorf("recording who uses Artifact %s/%s: %w", c.was.Namespace, c.was.Name, err)
		}
	}
	if err := firstOf(unwritten); err != nil {
		return errUnwritten{err}
	}
	return firstOf(failed)
}

// errUnwritten says that the users of some Artifact could not be written.
type errUnwritten struct{ error }

func (e errUnwritten) Unwrap() error { return e.error }

// createAll creates the missing Artifacts, and notes their users.
func (r *NeedReconciler) createAll(ctx context.Context, n *need, limit *rate.Limiter, failed map[string]error) error {
	names := slices.Sorted(maps.Keys(n.missing))
	for i := 0; i < maxNeeded && len(names) > 0; i++ {
		names = slices.DeleteFunc(names, func(name string) bool { return len(n.missing[name]) <= i || failed[name] != nil })
		for _, name := range names {
			if err := limit.Wait(ctx); err != nil {
				return fmt.Errorf("making artifacts: %w", err)
			}
			a, err := r.create(ctx, name, n.missing[name][i])
			if failed[name] = err; a != nil {
				n.use(a, n.uses[name])
			}
		}
	}
	return nil
}

// firstOf returns the error of the first namespace that has one, with the number of other namespaces that have one.
func firstOf(failed map[string]error) error {
	maps.DeleteFunc(failed, func(_ string, err error) bool { return err == nil })
	names := slices.Sorted(maps.Keys(failed))
	switch len(names) {
	case 0:
		return nil
	case 1:
		return failed[names[0]]
	}
	return fmt.Errorf("%w, and the same or another error in %d more namespaces", failed[names[0]], len(names)-1)
}

// patch writes the users of an Artifact. A patch that takes the Artifact back from a purge
// fails if another writer has changed the Artifact meanwhile, and is left to the next reading.
func (r *NeedReconciler) patch(ctx context.Context, c change) error {
	if c.is.Status.State == c.was.Status.State {
		return client.IgnoreNotFound(r.Status().Patch(ctx, c.is, client.MergeFrom(c.was)))
	}
	err := r.Status().Patch(ctx, c.is, client.MergeFromWithOptions(c.was, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}

// create creates the Artifact of an image. It returns nil if the
// Artifact exists already, or if its namespace does not exist.
func (r *NeedReconciler) create(ctx context.Context, name string, i rewrite.Image) (*v1alpha1.Artifact, error) {
	a := i.Artifact(name)
	err := r.Create(ctx, a)
	switch {
	case err == nil:
		return a, nil
	case apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil, nil
	}
	return nil, fmt.Errorf("making the Artifact of %s in %s: %w", i, name, err)
}
