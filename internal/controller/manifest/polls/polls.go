// Package polls schedules when the entries of each manifest are asked for in its registry.
package polls

import (
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/registry"
)

// turnGap is the shortest time between two turns of one poll, in which other manifests have theirs.
const turnGap = 50 * time.Millisecond

// pollBurst is the most requests that a store's budget saves up: as many
// as the largest manifest has entries, so that it can be polled at once.
const pollBurst = 512

// pollTurn is the most entries that are asked for before other manifests have their turn.
const pollTurn = 64

// Polls remembers when each manifest is polled next, and keeps each store's budget of requests.
// It lasts as long as the process: a new leader polls everything once, within the budget.
//
// A poll of a manifest is a round of turns. Each turn asks for some entries,
// beginning where the last one stopped. The budget serves turns in the order in which
// they ask, so that many small manifests cannot keep a large one waiting for ever.
type Polls struct {
	rate rate.Limit
	// Clock measures ages.
	Clock clock.PassiveClock

	mu      sync.Mutex
	next    map[types.UID]poll
	budgets map[types.UID]*rate.Limiter
}

type poll struct {
	at         time.Time
	generation int64
	trouble    error // why the round, or the one before it, was incomplete
	from, left int   // where the next turn begins, and how many entries the round has left; 0 before its begin
	fresh      bool  // the round has had no turn yet
	granted    int   // how many entries the budget has granted for the next turn; 0 if it was not asked
	// asked are the entries that were asked for, until whole is set: all were, in this generation.
	asked map[inventory.Entry]bool
	whole bool
}

// Turn is a part of a poll: count entries, beginning at from, and continuing with the first after the last.
type Turn struct{ from, count int }

// Of returns the entries of a turn, in its order.
func (t Turn) Of(entries []v1alpha1.ArtifactStatus) []v1alpha1.ArtifactStatus {
	var mine []v1alpha1.ArtifactStatus
	for i := range t.count {
		mine = append(mine, entries[(t.from+i)%len(entries)])
	}
	return mine
}

// New plans polls of at most perSecond requests to each store.
func New(perSecond float64, c clock.PassiveClock) *Polls {
	return &Polls{rate: rate.Limit(perSecond), Clock: c, next: map[types.UID]poll{}, budgets: map[types.UID]*rate.Limiter{}}
}

// Due returns which of a manifest's n entries to ask for now. If
// none is due, ok is false and wait is how long until one is.
func (p *Polls) Due(m *v1alpha1.ArtifactManifest, s *v1alpha1.ArtifactStore, n int) (mine Turn, wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Clock.Now()
	of := p.next[m.UID]
	if of.generation != m.Generation {
		of = of.anew(m.Generation)
	}
	if now.Before(of.at) {
		return Turn{}, of.at.Sub(now), false
	}
	if of.left == 0 || of.left > n {
		of.left, of.fresh = n, true
	}
	if of.granted = min(of.granted, of.left); of.granted == 0 && n > 0 {
		of.granted = min(of.left, pollTurn)
		of.at = now.Add(p.budget(s.UID, now).ReserveN(now, of.granted).DelayFrom(now))
	}
	p.next[m.UID] = of
	if now.Before(of.at) {
		return Turn{}, of.at.Sub(now), false
	}
	return Turn{of.from % max(n, 1), of.granted}, 0, true
}

// budget returns a store's budget. It drops budgets that are full again, which equal new ones.
func (p *Polls) budget(store types.UID, now time.Time) *rate.Limiter {
	if p.budgets[store] == nil {
		maps.DeleteFunc(p.budgets, func(_ types.UID, l *rate.Limiter) bool { return l.TokensAt(now) >= pollBurst })
		p.budgets[store] = rate.NewLimiter(p.rate, pollBurst)
	}
	return p.budgets[store]
}

// Took records a turn: the entries that were asked for, and its error. An error that
// concerns all entries ends the round here. It returns the error of the whole round so far.
func (p *Polls) Took(m *v1alpha1.ArtifactManifest, entries []v1alpha1.ArtifactStatus, trouble error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.next[m.UID]
	if of.fresh {
		of.fresh, of.trouble = false, nil
	}
	if trouble != nil {
		of.trouble = trouble
	}
	of.from, of.left, of.granted = of.from+len(entries), max(0, of.left-len(entries)), 0
	if of.left == 0 {
		of.asked, of.whole = nil, true
	}
	if trouble != nil && !registry.OfOne(trouble) {
		of.left = 0
	}
	if !of.whole {
		asked := maps.Clone(of.asked)
		if asked == nil {
			asked = map[inventory.Entry]bool{}
		}
		for _, e := range entries {
			asked[inventory.KeyOf(e)] = true
		}
		of.asked = asked
	}
	p.next[m.UID] = of
	return of.trouble
}

// Unasked counts the entries of a manifest that have never been asked for, as far as this
// process knows. partial is true if not all entries have been asked for in this generation.
func (p *Polls) Unasked(m *v1alpha1.ArtifactManifest, entries []v1alpha1.ArtifactStatus) (n int, partial bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.next[m.UID]
	if of.whole && of.generation == m.Generation {
		return 0, false
	}
	for _, e := range entries {
		if e.Digest == "" && !of.asked[inventory.KeyOf(e)] {
			n++
		}
	}
	return n, true
}

// Plan sets when a manifest's next round begins and returns how long until
// then. A round that is not finished continues first, after turnGap.
func (p *Polls) Plan(m *v1alpha1.ArtifactManifest, after time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.next[m.UID]
	if of.left > 0 {
		after = turnGap
	}
	after = jitter(after)
	of.at, of.generation = p.Clock.Now().Add(after), m.Generation
	p.next[m.UID] = of
	return after
}

// Trouble returns why the current or last round of this generation of a manifest was incomplete.
func (p *Polls) Trouble(m *v1alpha1.ArtifactManifest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, known := p.next[m.UID]; known && last.generation == m.Generation {
		return last.trouble
	}
	return nil
}

// Again makes all entries of a manifest due at once, beginning where the last turn stopped.
func (p *Polls) Again(m *v1alpha1.ArtifactManifest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[m.UID] = p.next[m.UID].anew(m.Generation)
}

// anew returns a poll of which no entry has been asked for yet. It keeps the turn that the budget has
// already granted for a later time, because asking again each time could put the manifest off for ever.
func (of poll) anew(generation int64) poll {
	fresh := poll{generation: generation, from: of.from, granted: of.granted}
	if of.granted > 0 {
		fresh.at = of.at
	}
	return fresh
}

// Forget drops a manifest that no longer exists.
func (p *Polls) Forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.next, uid)
}

func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/10+1))
}
