package controller

import (
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// How often a manifest's upload state is polled, before a jitter of up to a tenth.
const (
	pollMissing  = 5 * time.Second // something is not there yet
	pollComplete = 5 * time.Minute // all is there and may still be pushed over
	pollSealed   = 24 * time.Hour  // all is there and the manifest is sealed
	pollTrouble  = 15 * time.Second
)

// pollBurst is the most requests that a store's budget saves up: those of the largest
// manifest, which can so be polled at once.
const pollBurst = 512

// polls remembers when each manifest is to be polled next, and keeps each store's budget of
// requests. It is forgotten with the process: a new leader polls everything once, within budget.
type polls struct {
	rate  rate.Limit
	clock clock.PassiveClock

	mu      sync.Mutex
	next    map[types.UID]poll
	budgets map[types.UID]*rate.Limiter
}

type poll struct {
	at         time.Time
	generation int64
	trouble    error // why the last one did not see everything
}

func newPolls(perSecond float64, c clock.PassiveClock) *polls {
	return &polls{rate: rate.Limit(perSecond), clock: c, next: map[types.UID]poll{}, budgets: map[types.UID]*rate.Limiter{}}
}

// due reports whether a manifest of n entries is to be polled now, and if not, how long until.
func (p *polls) due(m *v1alpha1.ArtifactManifest, s *v1alpha1.ArtifactStore, n int) (bool, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	if at, known := p.next[m.UID]; known && at.generation == m.Generation && now.Before(at.at) {
		return false, at.at.Sub(now)
	}
	budget := p.budgets[s.UID]
	if budget == nil {
		budget = rate.NewLimiter(p.rate, pollBurst)
		p.budgets[s.UID] = budget
	}
	if n = min(n, pollBurst); !budget.AllowN(now, n) {
		short := float64(n) - budget.TokensAt(now)
		return false, jitter(time.Duration(short/float64(p.rate)*float64(time.Second)) + time.Second)
	}
	return true, 0
}

// plan sets when a manifest is polled next and returns how long until. trouble is why this poll
// did not see everything, and what is said of the manifest until the next one.
func (p *polls) plan(m *v1alpha1.ArtifactManifest, after time.Duration, trouble error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	after = jitter(after)
	p.next[m.UID] = poll{at: p.clock.Now().Add(after), generation: m.Generation, trouble: trouble}
	return after
}

// trouble is why the last poll of this generation of a manifest did not see everything.
func (p *polls) trouble(m *v1alpha1.ArtifactManifest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, known := p.next[m.UID]; known && last.generation == m.Generation {
		return last.trouble
	}
	return nil
}

// forget makes a manifest due at once, or drops one that has gone.
func (p *polls) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.next, uid)
}

func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/10+1))
}
