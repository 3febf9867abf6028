package lane

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// slowAfter is how long a registry may take for one answer before it counts as slow.
	slowAfter = 3 * time.Second
	// slowFor is how long a registry counts as slow after that.
	slowFor = time.Minute
	// laneRetry is how long a pass that was not admitted waits, before a jitter of the same
	// length. laneQueue is how much longer it waits for each other waiting pass of its store.
	laneRetry = 500 * time.Millisecond
	laneQueue = 10 * time.Millisecond
)

// Bounds are the most passes that may be in registries at once: in
// total, in slow registries, of one namespace, and of one store.
type Bounds struct{ All, Slow, Namespace, Store int }

// A lane shares the workers of its controller; the workers beyond All are for passes that need no registry.
var (
	Polls    = Bounds{All: 12, Slow: 4, Namespace: 8, Store: 4}
	Releases = Bounds{All: 28, Slow: 4, Namespace: 24, Store: 24}
	Pings    = Bounds{All: 12, Slow: 4, Namespace: 4, Store: 1}
	// Charts are fetched in parallel, and rendered one after the other.
	Charts = Bounds{All: 4, Slow: 2, Namespace: 1, Store: 1}
)

// Lane admits passes to registries so that no tenant keeps others waiting. Passes are bounded for each
// store and each namespace, and slow registries share a few places. The last places, including those for
// slow registries, go to the namespace that was admitted longest ago. Nothing blocks: a pass that is not
// admitted is repeated after a time, or when a place becomes free. It is safe for concurrent use.
type Lane struct {
	Bounds
	speeds *Speeds
	clock  clock.PassiveClock

	// observed is called with how long each admitted pass has waited,
	// and wake with the passes that are next when a place becomes free.
	observed func(time.Duration)
	wake     func(who any)

	mu         sync.Mutex
	tidied     time.Time
	inside     map[types.UID]*visitors    // by store
	served     map[string]time.Time       // when a namespace was last admitted
	waiting    map[string]time.Time       // until when a namespace that was not admitted counts as waiting for any place
	slowed     map[string]time.Time       // the same for a place in slow registries
	storeQueue map[types.UID]map[any]turn // the passes of a store that were not admitted
}

// turn is since when a pass has waited, and until when it counts as waiting.
type turn struct {
	since, until time.Time
	woken        bool // since it last asked
}

type visitors struct {
	namespace string
	count     int
	yielding  int // how many of them were told to leave; see Yield
}

// New makes a lane with these bounds.
func New(b Bounds, s *Speeds, c clock.PassiveClock) *Lane {
	return &Lane{
		Bounds: b, speeds: s, clock: c, inside: map[types.UID]*visitors{}, served: map[string]time.Time{},
		waiting: map[string]time.Time{}, slowed: map[string]time.Time{}, storeQueue: map[types.UID]map[any]turn{}, observed: func(time.Duration) {}, wake: func(any) {},
	}
}

// Observe makes the lane call f with how long each admitted pass has waited, 0 if it was
// admitted at once, and returns the lane. It must be called before the lane is used.
func (l *Lane) Observe(f func(time.Duration)) *Lane {
	l.observed = f
	return l
}

// Wake makes the lane call f, when a place becomes free, with the pass that has waited longest for
// that store, and with the one that has waited longest for any other store. They may come at once,
// but may find the place taken. It returns the lane, and must be called before the lane is used.
func (l *Lane) Wake(f func(who any)) *Lane {
	l.wake = f
	return l
}

// Enter admits a pass, identified by who, to the registry of a store until leave is called.
// leave is nil if there is no place; then wait is how long to wait before the pass asks again.
func (l *Lane) Enter(s *v1alpha1.ArtifactStore, who any) (leave func(), wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.tidy(now)
	in := l.taken(s)
	full := in.namespace >= l.Namespace || in.store >= l.Store // a pass that its own bounds keep out needs no place that others could have
	slowed := !full && in.isSlow && l.before(l.slowed, s.Namespace, now) >= l.Slow-in.slow
	crowded := !full && !slowed && l.before(l.waiting, s.Namespace, now) >= l.All-in.all
	if full || slowed || crowded {
		queue := l.storeQueue[s.UID]
		if queue == nil {
			queue = map[any]turn{}
			l.storeQueue[s.UID] = queue
		}
		wait = laneRetry + time.Duration(len(queue))*laneQueue
		queue[who] = turn{since: cmp.Or(queue[who].since, now), until: now.Add(2 * wait)}
		switch {
		case crowded:
			l.waiting[s.Namespace] = now.Add(2 * wait)
		case slowed:
			l.slowed[s.Namespace] = now.Add(2 * wait)
		}
		return nil, wait + rand.N(laneRetry)
	}
	l.observed(now.Sub(cmp.Or(l.storeQueue[s.UID][who].since, now)))
	delete(l.waiting, s.Namespace)
	delete(l.slowed, s.Namespace)
	delete(l.storeQueue[s.UID], who)
	l.served[s.Namespace] = now
	if l.inside[s.UID] == nil {
		l.inside[s.UID] = &visitors{namespace: s.Namespace}
	}
	l.inside[s.UID].count++
	return sync.OnceFunc(func() { l.leave(s.UID) }), 0
}

func (l *Lane) leave(uid types.UID) {
	for _, who := range l.left(uid) {
		l.wake(who)
	}
}

// left frees a place, and returns the passes to wake.
func (l *Lane) left(uid types.UID) (next []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if in := l.inside[uid]; in.count > 1 {
		in.count--
		in.yielding = max(0, in.yielding-1)
	} else {
		delete(l.inside, uid)
	}
	for _, mine := range []bool{true, false} {
		if who := l.longest(uid, mine); who != nil {
			next = append(next, who)
		}
	}
	return next
}

// longest returns the pass that has waited longest for one store, or with
// mine unset for any other store, and marks it as woken; nil if none waits.
func (l *Lane) longest(uid types.UID, mine bool) (who any) {
	var first turn
	var of map[any]turn
	now := l.clock.Now()
	for store, queue := range l.storeQueue {
		if (store == uid) != mine {
			continue
		}
		for key, t := range queue {
			if !t.woken && !now.After(t.until) && (who == nil || t.since.Before(first.since)) {
				first, who, of = t, key, queue
			}
		}
	}
	if who != nil {
		first.woken = true
		of[who] = first
	}
	return who
}

// Yield reports whether a pass over a store that is inside, and that can continue later, must leave
// because another namespace waits for its place and not enough other passes were told to leave.
func (l *Lane) Yield(s *v1alpha1.ArtifactStore) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.inside[s.UID]
	if mine == nil {
		return false
	}
	now, in := l.clock.Now(), l.taken(s)
	wanted := others(l.waiting, s.Namespace, now) - (l.All - in.all)
	if n := others(l.slowed, s.Namespace, now); n > 0 && in.isSlow { // more may be slow inside than were slow when they were admitted
		wanted = max(wanted, n-(l.Slow-in.slow))
	}
	if wanted <= in.yielding {
		return false
	}
	mine.yielding++
	return true
}

// taken is how many places are taken, in total and from the view of one store.
type taken struct {
	all, slow, yielding int
	namespace, store    int
	isSlow              bool // the store's registry is slow
}

func (l *Lane) taken(s *v1alpha1.ArtifactStore) taken {
	t := taken{isSlow: l.speeds.slow(s.UID)}
	for uid, in := range l.inside {
		t.all += in.count
		t.yielding += in.yielding
		if l.speeds.slow(uid) {
			t.slow += in.count
		}
		if in.namespace == s.Namespace {
			t.namespace += in.count
		}
		if uid == s.UID {
			t.store = in.count
		}
	}
	return t
}

// before counts the waiting namespaces that were admitted longer ago than one.
func (l *Lane) before(waiting map[string]time.Time, namespace string, now time.Time) (n int) {
	for other, until := range waiting {
		if other != namespace && !now.After(until) && l.served[other].Before(l.served[namespace]) {
			n++
		}
	}
	return n
}

// others counts the waiting namespaces other than one.
func others(waiting map[string]time.Time, namespace string, now time.Time) (n int) {
	for other, until := range waiting {
		if other != namespace && !now.After(until) {
			n++
		}
	}
	return n
}

// tidy drops passes that no longer wait, and namespaces that are no longer compared
// with others. It runs at most once in laneRetry, however many passes ask.
func (l *Lane) tidy(now time.Time) {
	if now.Sub(l.tidied) < laneRetry {
		return
	}
	l.tidied = now
	for _, waiting := range []map[string]time.Time{l.waiting, l.slowed} {
		maps.DeleteFunc(waiting, func(_ string, until time.Time) bool { return now.After(until) })
	}
	for uid, queue := range l.storeQueue {
		maps.DeleteFunc(queue, func(_ any, t turn) bool { return now.After(t.until) })
		if len(queue) == 0 {
			delete(l.storeQueue, uid)
		}
	}
	maps.DeleteFunc(l.served, func(_ string, at time.Time) bool { return now.Sub(at) > slowFor })
}

// BusyError says that others are in the registry, and how long to wait before asking again. Asking earlier
// takes time from the passes at work: of a thousand waiting passes, one is woken when a place becomes free.
type BusyError time.Duration

func (BusyError) Error() string { return "as many are at work in this registry as may be at once" }
