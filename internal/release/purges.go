package release

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

const (
	// maxLeases bounds how many Leases are remembered, and how many of one namespace are read.
	maxLeases = 1000
	// leasesAtOnce is how many are in memory: anybody in the namespace may make some of 1 MiB each.
	leasesAtOnce = 20
)

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
	read, token := 0, ""
	for read <= maxLeases {
		var page coordinationv1.LeaseList
		if err := live.List(ctx, &page, client.InNamespace(namespace), client.MatchingLabels(cronjob.Labels()), client.Limit(leasesAtOnce), client.Continue(token)); err != nil {
			return true, err
		}
		for i := range page.Items {
			if l := &page.Items[i]; p.alive(client.ObjectKeyFromObject(l), l) {
				return true, nil
			}
		}
		read += len(page.Items)
		if token = page.Continue; token == "" && read <= maxLeases {
			return false, nil
		}
	}
	return true, fmt.Errorf("namespace %s has more than %d Leases of purges: delete those whose store does not exist any more", namespace, maxLeases)
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
