package removal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	finalizers = "finalizers"
	// writers is the number of objects that are unprotected at a time.
	writers = 8
	// named is the number of objects that are named in one message.
	named = 10
)

// protected are the kinds whose objects have the finalizer, holders before the kinds that they hold.
var protected = []string{
	v1alpha1.KindSite, v1alpha1.KindDesign, v1alpha1.KindDefinition, v1alpha1.KindArtifactManifest, v1alpha1.KindArtifactStore,
}

// backoff is for a write that conflicts with another one, or that
// failed in the API server: four more attempts within two seconds.
var backoff = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 5}

// removeFinalizers removes nfo's finalizer from every object. It reports the kinds that
// cannot be read and the objects that cannot be written after it has handled all others.
func (r *remover) removeFinalizers(ctx context.Context) error {
	var failed []error
	for _, kind := range protected {
		if failed = append(failed, r.unprotectAll(ctx, kind)); ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// unprotectAll removes nfo's finalizer from every object of a kind.
func (r *remover) unprotectAll(ctx context.Context, kind string) error {
	var failed failures
	var removed atomic.Int64
	resource, verb := v1alpha1.Resource(kind), "removed"
	if r.DryRun {
		verb = "would be removed"
	}
	err := r.pages(ctx, v1alpha1.GroupVersion.WithKind(kind), nil, func(items []metav1.PartialObjectMetadata, seen, left int64) error {
		var work errgroup.Group
		work.SetLimit(writers)
		for i := range items {
			o := &items[i]
			work.Go(func() error {
				had, err := r.unprotect(ctx, o)
				if had {
					removed.Add(1)
				}
				failed.note(o.Namespace+"/"+o.Name, err)
				return nil
			})
		}
		_ = work.Wait() // failed has the errors
		r.say("%s: %d of %d %s, %d %s", finalizers, seen-int64(len(failed.by)), seen+left, resource, removed.Load(), verb)
		return context.Cause(ctx)
	})
	if ctx.Err() != nil {
		return fmt.Errorf("%s: stopped at %s: %w; run this again", finalizers, resource, context.Cause(ctx))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", finalizers, err)
	}
	if err := errors.Join(err, failed.err()); err != nil {
		return fmt.Errorf("%w; by hand: kubectl edit %s.%s -n NAMESPACE NAME, and take %s out of metadata.finalizers", err, resource, v1alpha1.GroupVersion.Group, v1alpha1.Finalizer)
	}
	return nil
}

// unprotect removes nfo's finalizer from one object and leaves other finalizers. If another writer has
// changed the object, unprotect reads it again and retries. It reports whether the object had the finalizer.
func (r *remover) unprotect(ctx context.Context, o *metav1.PartialObjectMetadata) (had bool, err error) {
	stale := false
	err = retry.OnError(backoff, transient, func() error {
		if stale {
			if err := r.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
		}
		stale = true
		if had = controllerutil.ContainsFinalizer(o, v1alpha1.Finalizer); !had || r.DryRun {
			return nil
		}
		patch := client.MergeFromWithOptions(o.DeepCopy(), client.MergeFromWithOptimisticLock{})
		controllerutil.RemoveFinalizer(o, v1alpha1.Finalizer)
		return r.Client.Patch(ctx, o, patch)
	})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return had && err == nil, err
}

// transient reports whether an error may not occur again. An internal
// error is, for example, another webhook that did not answer.
func transient(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsInternalError(err) || apierrors.IsServerTimeout(err) || apierrors.IsServiceUnavailable(err)
}

// failures are the objects that could not be unprotected, with their errors.
type failures struct {
	mu sync.Mutex
	by map[string]error
}

func (f *failures) note(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.by, name) // it may have failed before the list was started again
		return
	}
	if f.by == nil {
		f.by = map[string]error{}
	}
	f.by[name] = err
}

func (f *failures) err() error {
	names := slices.Sorted(maps.Keys(f.by))
	var all []error
	for _, name := range names[:min(named, len(names))] {
		all = append(all, fmt.Errorf("%s of %s: %w", finalizers, name, f.by[name]))
	}
	if more := len(names) - len(all); more > 0 {
		all = append(all, fmt.Errorf("and of %d more", more))
	}
	return errors.Join(all...)
}

// enumerate returns the first names of a list and the number of the others, or "" for an empty list.
func enumerate(names []string) string {
	if more := len(names) - named; more > 0 {
		return fmt.Sprintf("%s, and %d more", strings.Join(names[:named], ", "), more)
	}
	return strings.Join(names, ", ")
}
