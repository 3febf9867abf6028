package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

const (
	// reasonDeletionRefused is the reason of the event for a refused deletion.
	reasonDeletionRefused = "DeletionRefused"
	// maxNote is the API's maximum length of an event's note, in bytes.
	maxNote = 1024
)

// preflight refuses at once the deletions that the finalizer would block.
type preflight struct {
	*lookup
	events events.EventRecorder
	places place.Rules
	// workloads reads what the workloads of a store run; nil if workloads do not count.
	workloads *workload.Known
	// mirror is the only store that may be the mirror.
	mirror client.ObjectKey
}

// deletable refuses to delete an object that is held, and records an event on it unless the request
// is a dry run. A holder that is being deleted does not count, because the finalizer waits for it.
func (p *preflight) deletable(ctx context.Context, subject client.Object) error {
	if m, ok := subject.(*v1alpha1.ArtifactManifest); ok && m.Spec.UploadPath == v1alpha1.StoreScoped {
		return nil
	}
	if err := p.ready(ctx); err != nil {
		return err
	}
	holders, err := p.standing(ctx, subject)
	if err != nil {
		return unread(err)
	}
	if len(holders) == 0 {
		holders, err = p.running(ctx, subject)
	}
	refusal := inUse(subject, holders)
	switch {
	case errors.Is(err, reference.ErrHoldersUnknown):
		refusal = maybeInUse(subject, err)
	case err != nil:
		return unread(err)
	case len(holders) == 0:
		if refusal, err = p.doubted(ctx, subject); refusal == nil {
			return err
		}
	}
	req, err := admission.RequestFromContext(ctx)
	if err == nil && (req.DryRun == nil || !*req.DryRun) {
		p.events.Eventf(subject, nil, corev1.EventTypeWarning, reasonDeletionRefused, "Deleting", "%s", v1alpha1.Clip(refusal.Error(), maxNote))
	}
	return refusal
}

// doubted refuses to delete an object that may be in use by objects that are missing or being restored: once it is
// being deleted, no new reference to it is admitted. It does not refuse if the object's namespace is being deleted.
func (p *preflight) doubted(ctx context.Context, subject client.Object) (*apierrors.StatusError, error) {
	doubt := p.holders.Doubt(ctx, subject)
	switch {
	case doubt == nil:
		return nil, nil
	case !errors.Is(doubt, reference.ErrHoldersUnknown):
		return nil, unread(doubt)
	}
	ns := &corev1.Namespace{}
	if err := p.live.Get(ctx, client.ObjectKey{Name: subject.GetNamespace()}, ns); err != nil {
		return nil, unread(fmt.Errorf("reading the namespace %s: %w", subject.GetNamespace(), err))
	}
	if !ns.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	return maybeInUse(subject, doubt), nil
}

// standing returns the holders that block the deletion. It reads the cache
// first: most deletions are of objects without holders, and need no request.
func (p *preflight) standing(ctx context.Context, subject client.Object) ([]reference.Holder, error) {
	cached, err := p.holders.Cached(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("finding what holds %s: %w", reference.Self(subject), err)
	}
	cached = slices.DeleteFunc(cached, func(h reference.Holder) bool { return !h.Stands() })
	if len(cached) == 0 {
		return nil, nil
	}
	// Both reads run at the same time, because a user waits for the answer.
	ns := &corev1.Namespace{}
	var confirmed []reference.Holder
	var reads errgroup.Group
	reads.Go(func() error {
		if err := p.live.Get(ctx, client.ObjectKey{Name: subject.GetNamespace()}, ns); err != nil {
			return fmt.Errorf("reading the namespace %s: %w", subject.GetNamespace(), err)
		}
		return nil
	})
	reads.Go(func() (err error) { confirmed, err = p.holders.Confirm(ctx, subject, cached); return err })
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	if ns.DeletionTimestamp.IsZero() {
		return confirmed, nil
	}
	// The holders in a namespace that is being deleted are deleted with it, in any order.
	return p.holders.Confirm(ctx, subject, slices.DeleteFunc(cached, func(h reference.Holder) bool { return h.Namespace == ns.Name }))
}

// readPatience is how long a deletion waits for a reading of the
// workloads. The API server's timeout is only a little longer.
const readPatience = 2 * time.Second

// running returns the workloads that block the deletion of a manifest. If the cluster is too large to read them
// while a user waits, it returns the workloads that were read last. The error wraps reference.ErrHoldersUnknown
// if they cannot be read. In any case, the controller reads them again before it releases anything.
func (p *preflight) running(ctx context.Context, subject client.Object) ([]reference.Holder, error) {
	m, ok := subject.(*v1alpha1.ArtifactManifest)
	if !ok || p.workloads == nil {
		return nil, nil
	}
	var s v1alpha1.ArtifactStore
	if err := p.cached.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, &s); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	at, err := s.Location()
	if err != nil || s.Spec.Workloads == nil {
		return nil, nil
	}
	ns := &corev1.Namespace{}
	if err := p.live.Get(ctx, client.ObjectKey{Name: m.Namespace}, ns); err != nil {
		return nil, fmt.Errorf("reading the namespace %s: %w", m.Namespace, err)
	}
	if !ns.DeletionTimestamp.IsZero() {
		return nil, nil // then nothing is untagged
	}
	reading, err := p.workloads.Within(ctx, &s, readPatience)
	if err == nil {
		err = reading.Unreadable()
	}
	switch {
	case errors.Is(err, workload.ErrSlow):
		return reference.Recorded(m), nil
	case err != nil:
		return nil, err
	}
	return slices.DeleteFunc(reading.Holders(m, inventory.Entries(m, at)), func(h reference.Holder) bool { return !h.Stands() }), nil
}
