package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

// readPatience is how long a deletion waits for a reading of what workloads run: the API server waits little longer.
const readPatience = 2 * time.Second

// running returns the workloads that refuse a manifest's deletion. In a cluster that is too large to be read while a person
// waits, they are as they were read last. The controller reads anew before it releases anything, whatever is said here.
func (p *preflight) running(ctx context.Context, subject client.Object) ([]reference.Holder, error) {
	m, ok := subject.(*v1alpha1.ArtifactManifest)
	if !ok || p.workloads == nil {
		return nil, nil
	}
	var s v1alpha1.ArtifactStore
	if err := p.cached.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, &s); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	at, err := v1alpha1.ParseRegistryURL(s.Spec.Registry.URL)
	if err != nil || s.Spec.Workloads == nil {
		return nil, nil
	}
	ns := &corev1.Namespace{}
	if err := p.live.Get(ctx, client.ObjectKey{Name: m.Namespace}, ns); err != nil {
		return nil, unread(fmt.Errorf("reading the namespace %s: %w", m.Namespace, err))
	}
	if !ns.DeletionTimestamp.IsZero() {
		return nil, nil // nothing is untagged then
	}
	reading, err := p.workloads.Within(ctx, &s, readPatience)
	if err == nil {
		err = reading.Unreadable()
	}
	switch {
	case errors.Is(err, reference.ErrHoldersUnknown):
		return nil, maybeInUse(subject, err)
	case errors.Is(err, workload.ErrSlow):
		return reference.Recorded(m), nil
	case err != nil:
		return nil, unread(err)
	}
	return slices.DeleteFunc(reading.Holders(m, inventory.Entries(m, at)), func(h reference.Holder) bool { return !h.Stands() }), nil
}
