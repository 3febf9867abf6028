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
)

// readPatience is how long a deletion waits for a reading of what workloads run: the API server waits little longer.
const readPatience = 2500 * time.Millisecond

// running returns the workloads that refuse a manifest's deletion. It reads what they run only if that is likely: the manifest's status names one, or it
// could not be read last. The controller reads it before it releases anything, whatever is said here.
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
	recorded := reference.Recorded(m)
	if err != nil || s.Spec.Workloads == nil || (len(recorded) == 0 && s.Status.Workloads.Unreadable() == "") {
		return nil, nil
	}
	ns := &corev1.Namespace{}
	if err := p.live.Get(ctx, client.ObjectKey{Name: m.Namespace}, ns); err != nil {
		return nil, unread(fmt.Errorf("reading the namespace %s: %w", m.Namespace, err))
	}
	if !ns.DeletionTimestamp.IsZero() {
		return nil, nil // nothing is untagged then
	}
	limited, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	reading, err := p.workloads(limited, &s)
	if err == nil {
		err = reading.Unreadable()
	}
	switch {
	case errors.Is(err, reference.ErrHoldersUnknown):
		return nil, maybeInUse(subject, err)
	case err != nil:
		return recorded, nil //nolint:nilerr // it takes longer than a person waits: they are as they were read last
	}
	return slices.DeleteFunc(reading.Holders(m, inventory.Entries(m, at)), func(h reference.Holder) bool { return !h.Stands() }), nil
}
