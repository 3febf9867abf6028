package lane

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func storeOf(namespace, name string) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{}
	s.Namespace, s.Name, s.UID = namespace, name, types.UID(namespace+"/"+name)
	return s
}

func TestLanesAreBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		bounds Bounds
		store  func(i int) *v1alpha1.ArtifactStore
		slow   bool
		want   int
	}{
		"All":       {"every namespace has its own", Bounds{5, 9, 9, 9}, func(i int) *v1alpha1.ArtifactStore { return storeOf(fmt.Sprint(i), "s") }, false, 5},
		"Namespace": {"many stores of one", Bounds{9, 9, 3, 9}, func(i int) *v1alpha1.ArtifactStore { return storeOf("n", fmt.Sprint(i)) }, false, 3},
		"Store":     {"one store", Bounds{9, 9, 9, 2}, func(int) *v1alpha1.ArtifactStore { return storeOf("n", "s") }, false, 2},
		"Slow":      {"all registries are slow", Bounds{9, 4, 9, 9}, func(i int) *v1alpha1.ArtifactStore { return storeOf(fmt.Sprint(i), "s") }, true, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
			timed := NewSpeeds(clock)
			l := New(tc.bounds, timed, clock)
			if tc.slow {
				for i := range 20 {
					timed.begin(tc.store(i).UID)
				}
				clock.SetTime(clock.Now().Add(2 * slowAfter))
			}
			var leaves []func()
			for i := range 20 {
				leave, wait := l.Enter(tc.store(i), i)
				if leave == nil && wait < laneRetry {
					t.Errorf("who is not let in comes again after %s", wait)
				}
				if leave != nil {
					leaves = append(leaves, leave)
				}
			}
			if len(leaves) != tc.want {
				t.Errorf("%d were let in, want %d: %s", len(leaves), tc.want, tc.reason)
			}
			for _, leave := range leaves {
				leave()
				leave() // calling it again must have no effect
			}
			if leave, _ := l.Enter(tc.store(19), "again"); leave == nil {
				t.Error("who has waited is not let in when all have left")
			}
		})
	}
}

// A pass that is admitted at its third try has waited since the first one. A pass that gave up in between has not.
func TestWaitsAreObserved(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	var waits []time.Duration
	l := New(Bounds{1, 1, 1, 1}, NewSpeeds(clock), clock).Observe(func(d time.Duration) { waits = append(waits, d) })
	s := storeOf("ns", "s")
	enter := func(who string, after time.Duration) func() {
		clock.SetTime(clock.Now().Add(after))
		leave, _ := l.Enter(s, who)
		return leave
	}
	first := enter("first", 0)
	for range 2 {
		if enter("second", laneRetry) != nil {
			t.Fatal("two were let in")
		}
	}
	first()
	enter("second", laneRetry)()
	enter("second", time.Hour)()
	blocked := enter("first", 0)
	enter("third", 0)
	blocked()
	enter("other", time.Hour)() // by this time, the third one has given up
	enter("third", 0)()
	want := []time.Duration{0, 2 * laneRetry, 0, 0, 0, 0}
	if !slices.Equal(waits, want) {
		t.Errorf("observed %v, want %v", waits, want)
	}
}

// The last place must go to the namespace that was admitted longest ago.
func TestLanesTakeTurns(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	l := New(Bounds{1, 1, 1, 1}, NewSpeeds(clock), clock)
	let := map[string]int{}
	for range 50 { // the greedy namespace tries first
		for _, ns := range []string{"greedy", "greedy", "modest"} {
			leave, _ := l.Enter(storeOf(ns, "s"), ns)
			clock.SetTime(clock.Now().Add(laneRetry / 10))
			if leave != nil {
				let[ns]++
				_, _ = l.Enter(storeOf("modest", "s"), "modest") // asks while the place is taken
				_, _ = l.Enter(storeOf("greedy", "s"), "greedy")
				leave()
			}
		}
	}
	if let["modest"] < 40 || let["greedy"] < 40 {
		t.Errorf("let in: %v, want about 50 each", let)
	}
}

// A free place must be offered to the pass that has waited longest for its store,
// and to the one that has waited longest for any other store, once to each.
func TestLanesWakeWhoIsNext(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	var woken []any
	l := New(Bounds{All: 2, Slow: 2, Namespace: 2, Store: 2}, NewSpeeds(clock), clock).Wake(func(who any) { woken = append(woken, who) })
	mine, others := storeOf("mine", "s"), storeOf("others", "s")
	enter := func(s *v1alpha1.ArtifactStore, who string) (leave func()) {
		t.Helper()
		leave, _ = l.Enter(s, who)
		clock.SetTime(clock.Now().Add(time.Millisecond))
		return leave
	}
	first, second := enter(mine, "first"), enter(mine, "second")
	for _, who := range []string{"a", "b", "c"} {
		if enter(mine, who) != nil || enter(others, "other "+who) != nil {
			t.Fatalf("%s is let in", who)
		}
	}
	second()
	if want := []any{"a", "other a"}; !slices.Equal(woken, want) {
		t.Errorf("woken: %v, want %v", woken, want)
	}
	enter(mine, "a") // the place goes to the other namespace, which was never admitted: this one keeps waiting
	if leave := enter(others, "other a"); leave == nil {
		t.Error("the other is not let in")
	}
	first()
	if want := []any{"a", "other a", "a", "other b"}; !slices.Equal(woken, want) {
		t.Errorf("woken: %v, want %v", woken, want)
	}
	enter(mine, "a")()
	clock.SetTime(clock.Now().Add(time.Minute))
	woken = nil
	enter(mine, "late")()
	if len(woken) > 0 {
		t.Errorf("woken long after they asked: %v", woken)
	}
}

// A store is slow while an answer is overdue, and for a while after a slow answer.
func TestSpeeds(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	s := NewSpeeds(clock)
	step := func(d time.Duration, want bool, reason string) {
		t.Helper()
		clock.SetTime(clock.Now().Add(d))
		if got := s.slow("s"); got != want {
			t.Errorf("slow %t, want %t: %s", got, want, reason)
		}
	}
	step(0, false, "never asked")
	end := s.begin("s")
	step(slowAfter, false, "an answer may take so long")
	step(time.Second, true, "an answer is overdue")
	end()
	step(slowFor/2, true, "the last answer was late")
	step(slowFor, false, "that is long ago")
	answers := s.Timed("s", roundTrip(func(*http.Request) (*http.Response, error) {
		clock.SetTime(clock.Now().Add(2 * slowAfter))
		return nil, errors.New("no route")
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry.example.com/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answers.RoundTrip(req); err == nil { //nolint:bodyclose // none exists
		t.Fatal("no error")
	}
	step(0, true, "an error that took long")
	end = s.begin("waits")
	if s.begin("quick")(); len(s.stores) != 2 {
		t.Errorf("%d stores are remembered, want 2: one was slow, and one has not answered", len(s.stores))
	}
	s.Slow("trickles")
	end()
	step(slowFor, false, "that is long ago")
	if s.Slow("trickles"); !s.slow("trickles") {
		t.Error("one that trickles is not slow")
	}
	if s.begin("quick")(); len(s.stores) != 1 {
		t.Errorf("%d stores are remembered, want the one that trickles", len(s.stores))
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// BenchmarkCrowdedLane measures the cost of asking for a place while many wait.
func BenchmarkCrowdedLane(b *testing.B) {
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	l := New(Bounds{1, 1, 1, 1}, NewSpeeds(clock), clock)
	l.Enter(storeOf("n", "s"), "inside")
	for i := range 10_000 {
		l.Enter(storeOf("n", "s"), i)
	}
	for b.Loop() {
		l.Enter(storeOf("n", "s"), 0)
	}
}
