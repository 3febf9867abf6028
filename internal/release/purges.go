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
	// maxLeases is the maximum number of Leases that are remembered, and that are read of one namespace.
	maxLeases = 1000
	// leasesAtOnce is the number of Leases read into memory at a time: any user of the namespace may create Leases of 1 MiB.
	leasesAtOnce = 20
)

// Purges finds out which purges are alive, because the claim of a
// purge that died does not count. It is safe for concurrent use.
//
// A purge is alive while it renews its Lease. Purges observes the renewals, as
// leader election does, because the time in the Lease comes from another clock.
type Purges struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	seen map[client.ObjectKey]renewal
}

// renewal is a version of a Lease and the time when it was first seen.
type renewal struct {
	version string
	at      time.Time
}

// NewPurges returns a Purges that has seen no Lease yet.
func NewPurges(c clock.PassiveClock) *Purges {
	return &Purges{clock: c, seen: map[client.ObjectKey]renewal{}}
}

// running reports whether a purge in a namespace may be alive, including a purge whose store has been deleted.
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
			clear(p.seen) // the Leases are observed from the start again
		}
		p.seen[key] = renewal{lease.ResourceVersion, p.clock.Now()}
		return true
	}
	return p.clock.Since(have.at) < 2*time.Duration(*l.LeaseDurationSeconds)*time.Second
}
