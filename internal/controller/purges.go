package controller

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
)

// maxLeases bounds how many leases are remembered.
const maxLeases = 1000

// purges knows which purges are alive. The claim of one that died is nobody's. It is safe for concurrent
// use.
//
// A purge is alive while it renews its Lease. That is observed, as in leader election: the time in the
// Lease is of another clock.
type purges struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	seen map[client.ObjectKey]renewal
}

// renewal is a version of a Lease, and when it was first seen.
type renewal struct {
	version string
	at      time.Time
}

func newPurges(c clock.PassiveClock) *purges {
	return &purges{clock: c, seen: map[client.ObjectKey]renewal{}}
}

// running reports whether a purge of any store of a namespace may be alive.
func (p *purges) running(ctx context.Context, live client.Reader, namespace string) (bool, error) {
	var stores v1alpha1.ArtifactStoreList
	if err := live.List(ctx, &stores, client.InNamespace(namespace)); err != nil {
		return true, err
	}
	for i := range stores.Items {
		key := client.ObjectKey{Namespace: namespace, Name: purge.LeaseName(stores.Items[i].Name)}
		var lease coordinationv1.Lease
		err := live.Get(ctx, key, &lease)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return true, err
		}
		if p.alive(key, &lease) {
			return true, nil
		}
	}
	return false, nil
}

func (p *purges) alive(key client.ObjectKey, lease *coordinationv1.Lease) bool {
	l := lease.Spec
	if l.HolderIdentity == nil || *l.HolderIdentity == "" || l.LeaseDurationSeconds == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.seen[key]
	if have.version != lease.ResourceVersion {
		if len(p.seen) >= maxLeases {
			clear(p.seen) // they are observed anew
		}
		p.seen[key] = renewal{lease.ResourceVersion, p.clock.Now()}
		return true
	}
	return p.clock.Since(have.at) < 2*time.Duration(*l.LeaseDurationSeconds)*time.Second
}
