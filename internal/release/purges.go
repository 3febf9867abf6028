package release

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// maxLeases bounds how many leases are remembered.
const maxLeases = 1000

// Purges knows which purges are alive. The claim of one that died is nobody's. It is safe for concurrent
// use.
//
// A purge is alive while it renews its Lease. That is observed, as in leader election: the time in the
// Lease is of another clock.
type Purges struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	seen map[client.ObjectKey]renewal
}

// renewal is a version of a Lease, and when it was first seen.
type renewal struct {
	version string
	at      time.Time
}

// NewPurges knows of no purge yet.
func NewPurges(c clock.PassiveClock) *Purges {
	return &Purges{clock: c, seen: map[client.ObjectKey]renewal{}}
}

// running reports whether a purge in a namespace may be alive, also one whose store has been deleted.
func (p *Purges) running(ctx context.Context, live client.Reader, namespace string) (bool, error) {
	var leases coordinationv1.LeaseList
	if err := live.List(ctx, &leases, client.InNamespace(namespace), client.MatchingLabels(cronjob.Labels())); err != nil {
		return true, err
	}
	for i := range leases.Items {
		if l := &leases.Items[i]; p.alive(client.ObjectKeyFromObject(l), l) {
			return true, nil
		}
	}
	return false, nil
}

func (p *Purges) alive(key client.ObjectKey, lease *coordinationv1.Lease) bool {
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
