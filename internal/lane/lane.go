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
	// slowFor is how long it counts as slow after that.
	slowFor = time.Minute
	// laneRetry is when a pass that was not let in comes again, before a jitter, and laneQueue what it waits
	// longer for each other one of its store that waits.
	laneRetry = 500 * time.Millisecond
	laneQueue = 10 * time.Millisecond
)

// Bounds are how many passes may be in registries at once: of all, of those whose registry is slow, of one
// namespace, and of one store.
type Bounds struct{ All, Slow, Namespace, Store int }

// The lanes share the workers of their controller; what is left of these is for passes that need no registry.
var (
	Polls    = Bounds{All: 12, Slow: 4, Namespace: 8, Store: 4}
	Releases = Bounds{All: 28, Slow: 4, Namespace: 24, Store: 24}
	Pings    = Bounds{All: 12, Slow: 4, Namespace: 4, Store: 1}
	// chartLane: they are fetched side by side, and rendered one after the other.
	Charts = Bounds{All: 4, Slow: 2, Namespace: 1, Store: 1}
)

// Lane lets passes into registries so that nobody's keep others waiting: they are bounded by store and by namespace,
// slow ones share a few places, and the last places, also of the slow ones, go to the namespace that was let in
// longest ago. Nobody waits inside of it: who is not let in comes again, at a time of their own or when a place is
// left. It is safe for concurrent use.
type Lane struct {
	Bounds
	speeds *Speeds
	clock  clock.PassiveClock

	// observed gets how long each pass has waited, and wake who is next where a place is left.
	observed func(time.Duration)
	wake     func(who any)

	mu         sync.Mutex
	tidied     time.Time
	inside     map[types.UID]*visitors    // by store
	served     map[string]time.Time       // when a namespace was let in last
	waiting    map[string]time.Time       // until when a namespace that was not let in counts as waiting for any place
	slowed     map[string]time.Time       // the same for a place of the slow ones
	storeQueue map[types.UID]map[any]turn // who of a store was not let in
}

// turn is since when somebody has waited, and until when they count as waiting.
type turn struct {
	since, until time.Time
	woken        bool // since they asked last
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

// Observe has f called with how long each pass has waited that is let in, 0 if it was at once, and returns the lane. It is
// called before the lane is used.
func (l *Lane) Observe(f func(time.Duration)) *Lane {
	l.observed = f
	return l
}

// Wake has f called with who may come again at once, as a place was left: who of that store has waited longest, and who of all
// others. They may find it taken. It returns the lane, and is called before that is used.
func (l *Lane) Wake(f func(who any)) *Lane {
	l.wake = f
	return l
}

// Enter lets a pass for somebody into the registry of a store, until leave is called. leave is nil if there is
// no place; then wait is when to come again.
func (l *Lane) Enter(s *v1alpha1.ArtifactStore, who any) (leave func(), wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.tidy(now)
	in := l.taken(s)
	full := in.namespace >= l.Namespace || in.store >= l.Store // whom its own bounds keep out needs no place that others could have
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

// left gives a place back, and returns who is to be woken.
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

// longest returns who waits longest of one store, or with mine unset of all others, and counts them as woken; nil for nobody.
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

// Yield reports whether a pass over a store that is inside, and that can go on another time, must leave: another namespace
// waits for its place, and not enough others were told so.
func (l *Lane) Yield(s *v1alpha1.ArtifactStore) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.inside[s.UID]
	if mine == nil {
		return false
	}
	now, in := l.clock.Now(), l.taken(s)
	wanted := others(l.waiting, s.Namespace, now) - (l.All - in.all)
	if n := others(l.slowed, s.Namespace, now); n > 0 && in.isSlow { // more may be slow inside than were slow when they were let in
		wanted = max(wanted, n-(l.Slow-in.slow))
	}
	if wanted <= in.yielding {
		return false
	}
	mine.yielding++
	return true
}

// taken is how many places are taken, of all and as one store sees them.
type taken struct {
	all, slow, yielding int
	namespace, store    int
	isSlow              bool // the store is
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

// before counts the namespaces that wait and were let in longer ago than one.
func (l *Lane) before(waiting map[string]time.Time, namespace string, now time.Time) (n int) {
	for other, until := range waiting {
		if other != namespace && !now.After(until) && l.served[other].Before(l.served[namespace]) {
			n++
		}
	}
	return n
}

// others counts the namespaces that wait but for one.
func others(waiting map[string]time.Time, namespace string, now time.Time) (n int) {
	for other, until := range waiting {
		if other != namespace && !now.After(until) {
			n++
		}
	}
	return n
}

// tidy forgets who no longer waits, and namespaces that nobody is compared with any more. It looks at all who wait
// at most once in laneRetry, however many ask.
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

// BusyError says that others are in the registry, and how long to wait before coming again. Who comes sooner takes time
// from those who are at work: of a thousand who wait, one is woken as a place is left.
type BusyError time.Duration

func (BusyError) Error() string { return "as many are at work in this registry as may be at once" }
