package artifact

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestPace(t *testing.T) {
	t.Parallel()
	of := limits{window: time.Minute, bytes: 60 << 10}
	for name, tt := range map[string]struct {
		reason string
		moved  []int64 // KiB in all, every 20 seconds
		known  bool
		rate   float64 // KiB/s
	}{
		"too soon":    {"there was no window yet", []int64{0, 0}, false, 0},
		"still":       {"nothing moves", []int64{0, 0, 0}, true, 0},
		"drips":       {"just too slow", []int64{19, 39, 59}, true, 59.0 / 60},
		"enough":      {"just not", []int64{20, 40, 60}, true, 1},
		"came late":   {"a registry may take long to begin", []int64{0, 0, 60}, true, 1},
		"was fast":    {"what came before the last window does not count", []int64{900, 900, 900, 900}, true, 0},
		"gets faster": {"nor that it was slow", []int64{0, 0, 0, 900}, true, 15},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1000, 0)
			p := newPace(of, now)
			var rate float64
			var known bool
			for _, n := range tt.moved {
				now = now.Add(20 * time.Second)
				rate, known = p.note(now, n<<10)
			}
			if known != tt.known || rate/1024 != tt.rate || len(p.notes) > 4 {
				t.Errorf("%s: known %t with %g KiB/s and %d notes, want %t with %g", tt.reason, known, rate/1024, len(p.notes), tt.known, tt.rate)
			}
		})
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	for given, want := range map[int]time.Duration{0: time.Minute, 1: 2 * time.Minute, 4: 16 * time.Minute, 5: mostTurn, 20: mostTurn} {
		for _, rate := range []float64{0, defaultLimits.slow() / 2, defaultLimits.slow()} {
			if got := defaultLimits.turn(given, rate); got != want {
				t.Errorf("after %d times with %.0f bytes a second a turn is %s, want %s", given, rate, got, want)
			}
		}
		if got := defaultLimits.turn(given, 10*defaultLimits.slow()); got != 10*want {
			t.Errorf("after %d times a turn of a copy that is ten times as fast is %s, want %s", given, got, 10*want)
		}
	}
}

// run runs passes over an Artifact, as the manager does, until a condition holds.
func (s *scene) run(a *v1alpha1.Artifact, until func(*v1alpha1.Artifact) bool) {
	s.t.Helper()
	for ctx := s.t.Context(); ; {
		now := &v1alpha1.Artifact{}
		if err := s.api.Get(ctx, client.ObjectKeyFromObject(a), now); err != nil {
			s.t.Error(err)
			return
		}
		result, err := s.r.Reconcile(ctx, now)
		if err == nil {
			err = s.api.Get(ctx, client.ObjectKeyFromObject(a), a)
		}
		switch {
		case ctx.Err() != nil || err == nil && until(a):
			return
		case err != nil:
			s.t.Error(err)
			return
		}
		select {
		case <-time.After(result.RequeueAfter):
		case <-ctx.Done():
		}
	}
}

// drips is a source in which blobs of some repositories arrive at a trickle: the first blob of each that is asked for.
type drips struct {
	first map[string]string // path of the first blob, by repository
	rest  map[string]int    // how many other blobs were asked for, by repository
	begun chan string       // gets the repository once all its other blobs were asked for, so that these are complete
	mu    sync.Mutex
}

func (d *drips) intercept(w http.ResponseWriter, req *http.Request) bool {
	repository, _, blob := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/acme/"), "/blobs/")
	if !blob || req.Method != http.MethodGet || !strings.HasPrefix(repository, "drip") {
		return false
	}
	d.mu.Lock()
	if d.first[repository] == "" {
		d.first[repository] = req.URL.Path
	}
	drips := d.first[repository] == req.URL.Path
	if !drips {
		if d.rest[repository]++; d.rest[repository] == 3 {
			d.begun <- repository
		}
	}
	d.mu.Unlock()
	if !drips {
		return false
	}
	_, _ = w.Write([]byte("x"))
	_ = http.NewResponseController(w).Flush()
	<-req.Context().Done()
	return true
}

// Two namespaces whose sources are slow have all places. The copy of another namespace must
// still run: exactly one slow copy gives up its place, says so, and continues later with
// the layers that it had. After that nothing waits, and the other slow copies continue.
func TestSlowCopiesMakeRoom(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.ticks = clock.RealClock{}
	s.restart()
	s.r.pace = limits{every: 10 * time.Millisecond, window: 200 * time.Millisecond, bytes: 1 << 20}
	d := &drips{first: map[string]string{}, rest: map[string]int{}, begun: make(chan string, 3)}
	s.source.Intercept(d.intercept)
	for _, repository := range []string{"drip1", "drip2", "drip3", "upf"} {
		if _, err := registrytest.PushIndex(t.Context(), s.source.Host, "acme/"+repository, "1", []string{"linux/amd64", "linux/arm64"}, repository); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	says := make(chan *v1alpha1.Artifact, 3)
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	slow := []*v1alpha1.Artifact{s.artifact("a", "drip1:1"), s.artifact("a", "drip2:1"), s.artifact("b", "drip3:1")}
	for _, a := range slow {
		mine := a.DeepCopy()
		running.Go(func() {
			if _, err := s.r.Reconcile(ctx, mine.DeepCopy()); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			says <- mine
		})
	}
	for range slow {
		<-d.begun
	}
	begun := time.Now()
	c := s.artifact("c", "upf:1")
	s.run(c, func(a *v1alpha1.Artifact) bool { return a.Status.State == v1alpha1.MirrorPresent })
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the other namespace has waited for %s", took)
	}
	gave := <-says
	if err := s.api.Get(t.Context(), client.ObjectKeyFromObject(gave), gave); err != nil {
		t.Fatal(err)
	}
	s.want(gave, v1alpha1.MirrorPending, "False", "images of other namespaces wait. The layers that are complete are kept. nfo tries again at ")
	if wait := s.pass(gave); wait < 50*time.Second || wait > yieldWait+yieldWait/10 {
		t.Errorf("it comes again after %s", wait)
	}
	select { // many windows in which nothing waits
	case other := <-says:
		t.Errorf("%s has given up its place, too", other.Name)
	case <-time.After(5 * s.r.pace.window):
	}
	cancel()
	running.Wait()
	s.source.Intercept(nil)
	s.source.Forget()
	s.r.dues.Remove(gave.UID)
	s.pass(gave)
	s.want(gave, v1alpha1.MirrorPresent, "True", "has all")
	if n := s.source.Count(func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet
	}); n == 0 || n > 3 {
		t.Errorf("%d of 4 blobs are read again, want the one that dripped, and at most the two that are copied beside it", n)
	}
}

// A copy that has given up its place must have a longer turn the next
// time, in one of the places for slow sources, until the image is copied.
func TestAGivenUpPlaceIsRemembered(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.push("one")
	a := s.artifact("ran", "upf:1")
	s.r.dues.Add(a.UID, due{given: 2, generation: 1})
	was := seen{artifact: a, store: &v1alpha1.ArtifactStore{}, asked: true}
	was.store.Generation = 1
	v := verdict{state: v1alpha1.MirrorPending, status: "False", reason: v1alpha1.ReasonCopying, message: "x", pause: pause{first: yieldWait, most: mostYieldWait, failed: true, slow: true}}
	for _, want := range []int{3, 4} {
		if _, err := s.r.rest(t.Context(), a, was, v); err != nil {
			t.Fatal(err)
		}
		if d, _ := s.r.dues.Get(a.UID); d.given != want || d.failures != 0 {
			t.Errorf("it has given up its place %d times, want %d; %d failures", d.given, want, d.failures)
		}
	}
	v.pause = failed(errors.New("the source is away"))
	if _, err := s.r.rest(t.Context(), a, was, v); err != nil {
		t.Fatal(err)
	}
	if d, _ := s.r.dues.Get(a.UID); d.given != 4 || d.failures != 1 {
		t.Errorf("after a failure: %+v", d)
	}
	s.r.dues.Add(a.UID, due{given: 4, generation: 1})
	s.pass(a)
	if d, _ := s.r.dues.Get(a.UID); d.given != 0 {
		t.Errorf("the image is there: %+v", d)
	}
}

// If there is more than one place, copies of one namespace or of slow sources cannot take the last one.
func TestCopyBounds(t *testing.T) {
	t.Parallel()
	for _, copies := range []int{1, 2, 3, 32} {
		if b := CopyBounds(copies); b.All != copies || b.Namespace != max(1, copies-1) || b.Slow != max(1, copies-1) {
			t.Errorf("%d copies: %+v", copies, b)
		}
	}
}
