package lane

import (
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// A pass must leave only for another namespace that its place helps, and as many passes
// must leave as namespaces wait. A store whose name begins with "slow" has a slow registry.
func TestYield(t *testing.T) {
	t.Parallel()
	bounds := Bounds{All: 3, Slow: 2, Namespace: 2, Store: 2}
	for name, tt := range map[string]struct {
		reason        string
		inside, queue []string // as NAMESPACE/STORE
		want          string   // the passes inside that must leave, in the order in which they ask
	}{
		"nobody waits":        {"a slow link that nobody needs", []string{"a/x", "a/y", "b/x"}, nil, ""},
		"another waits":       {"one place is enough for it", []string{"a/x", "a/y", "b/x"}, []string{"c/x"}, "a/x"},
		"more of another":     {"of one namespace one at a time", []string{"a/x", "a/y", "b/x"}, []string{"c/x", "c/y"}, "a/x"},
		"two others wait":     {"each gets a place", []string{"a/x", "a/y", "b/x"}, []string{"c/x", "d/x"}, "a/x a/y"},
		"its own waits":       {"it would only go round", []string{"a/x", "b/x", "b/y"}, []string{"b/z"}, ""},
		"own bound":           {"it waits for a place of its own namespace, which nobody gives up for it", []string{"a/x", "a/y"}, []string{"a/z"}, ""},
		"slow waits":          {"the places of slow ones are taken", []string{"a/slow", "b/slow"}, []string{"c/slow"}, "a/slow"},
		"slow waits for slow": {"a place of one that is not slow does not help", []string{"a/x", "a/slow", "b/slow"}, []string{"c/slow"}, "a/slow"},
		"any waits":           {"a slow place is as good", []string{"a/x", "a/slow", "b/slow"}, []string{"c/x"}, "a/x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
			speeds := NewSpeeds(clock)
			l := New(bounds, speeds, clock)
			stores := map[string]*v1alpha1.ArtifactStore{}
			for _, at := range append(tt.inside, tt.queue...) {
				namespace, store, _ := strings.Cut(at, "/")
				s := storeOf(namespace, store)
				if stores[at] = s; store == "slow" {
					speeds.begin(s.UID)()
					speeds.Slow(s.UID)
				}
			}
			leaves := map[string]func(){}
			for i, at := range append(tt.inside, tt.queue...) {
				leave, _ := l.Enter(stores[at], at)
				if leave == nil != (i >= len(tt.inside)) {
					t.Fatalf("%s is let in: %t", at, leave != nil)
				}
				leaves[at] = leave
			}
			var told []string
			for _, at := range append(tt.inside, tt.inside...) {
				if l.Yield(stores[at]) {
					told = append(told, at)
				}
			}
			if got := strings.Join(told, " "); got != tt.want {
				t.Errorf("%q must leave, want %q: %s", got, tt.want, tt.reason)
			}
			for _, at := range told {
				leaves[at]()
			}
			if len(told) == 0 {
				return
			}
			if leave, _ := l.Enter(stores[told[0]], "again"); leave != nil {
				t.Error("who has left takes the place again before who waits for it")
			}
			if leave, _ := l.Enter(stores[tt.queue[0]], tt.queue[0]); leave == nil {
				t.Error("who waits does not get the place")
			}
		})
	}
}

// Passes that have become slow inside must leave only if a slow one
// of another namespace waits, and then as many as are too many.
func TestYieldOfTooManySlow(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	speeds := NewSpeeds(clock)
	l := New(Bounds{All: 3, Slow: 2, Namespace: 2, Store: 2}, speeds, clock)
	inside := []*v1alpha1.ArtifactStore{storeOf("a", "x"), storeOf("a", "y"), storeOf("b", "x")}
	for _, s := range inside {
		speeds.begin(s.UID)()
		l.Enter(s, s.Name)
		speeds.Slow(s.UID)
	}
	told := func() (n int) {
		for _, s := range inside {
			if l.Yield(s) {
				n++
			}
		}
		return n
	}
	if n := told(); n > 0 {
		t.Errorf("%d leave for nobody", n)
	}
	waits := storeOf("c", "x")
	speeds.begin(waits.UID)()
	speeds.Slow(waits.UID)
	l.Enter(waits, "waits")
	if n := told(); n != 2 {
		t.Errorf("%d leave, want 2: one place of three is not for slow ones", n)
	}
}

// A pass counts as waiting only while it keeps asking.
func TestYieldForNobodyWhoHasGivenUp(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	l := New(Bounds{1, 1, 1, 1}, NewSpeeds(clock), clock)
	l.Enter(storeOf("a", "s"), "a")
	l.Enter(storeOf("b", "s"), "b")
	clock.SetTime(clock.Now().Add(time.Minute))
	if l.Yield(storeOf("a", "s")) {
		t.Error("it leaves for one that came once, a minute ago")
	}
	if l.Yield(storeOf("b", "s")) {
		t.Error("one that is not inside leaves")
	}
}
