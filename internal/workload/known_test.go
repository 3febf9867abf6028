package workload

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// A caller that deletes an object does not wait for the reading of a large cluster.
func TestWithin(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	held := make(chan struct{})
	a := &api{lists: map[string][]string{"/api/v1/pods": {aPod("a", "")}}, answer: func(http.ResponseWriter, *http.Request) bool {
		if slow.Load() {
			<-held
		}
		return false
	}}
	k, s := NewKnown(a.reader(t)), aStore(v1alpha1.WorkloadPods)
	r, err := k.Within(t.Context(), s, time.Minute)
	if err != nil || len(r.Of("acme/cnf/nginx", "1")) != 1 {
		t.Fatalf("a reading that is quick enough: %v", err)
	}
	slow.Store(true)
	if _, err := k.Within(t.Context(), s, time.Second); !errors.Is(err, ErrSlow) {
		t.Errorf("a reading that takes too long: %v", err)
	}
	close(held)
}

// A reading that does not end in time says which source it had no time for, so that nothing is deleted because of it.
func TestI2AReadingThatTakesTooLongIsFailed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		hold func(r *Reader, hanging chan<- bool) // delays the reading
		says string
	}{
		"Reading": {func(_ *Reader, hanging chan<- bool) { close(hanging) }, "it takes longer than 100ms"},
		"Waiting": {func(r *Reader, _ chan<- bool) {
			for range readingsAtOnce {
				r.slots <- struct{}{}
			}
		}, "other readings took the 100ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hanging := make(chan bool)
			a := &api{answer: func(_ http.ResponseWriter, r *http.Request) bool {
				select {
				case <-hanging:
					<-r.Context().Done()
				default:
				}
				return false
			}}
			reader, s := a.reader(t), aStore(v1alpha1.WorkloadPods)
			k := NewKnown(reader)
			k.limit = 100 * time.Millisecond
			tc.hold(reader, hanging)
			r, err := k.Live(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Unreadable(); !errors.Is(err, reference.ErrHoldersUnknown) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("it says %v", err)
			}
			if last, known := k.Last(s); !known || last != r {
				t.Error("it is not known that it could not be read")
			}
		})
	}
}

// If the last reading was slow, a young one answers.
func TestWithinOfALargeCluster(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason     string
		ago        time.Duration
		generation int64
		want       error
	}{
		"young":             {reason: "it was begun a moment ago", generation: 1},
		"old":               {reason: "much may have changed since", ago: 2 * youngEnough, generation: 1, want: ErrSlow},
		"another selection": {reason: "other namespaces may count now", generation: 2, want: ErrSlow},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			k, s := NewKnown((&api{}).reader(t)), aStore(v1alpha1.WorkloadPods)
			s.Generation = test.generation
			was := NewReading(time.Now().Add(-test.ago), nil)
			k.last[s.UID] = lastReading{"", 1, was, time.Hour}
			got, err := k.Within(t.Context(), s, time.Second)
			if !errors.Is(err, test.want) || (test.want == nil && got != was) {
				t.Errorf("%s: %v, %v", test.reason, got, err)
			}
		})
	}
}

func TestKnownIsOfTheSelectionAsItIs(t *testing.T) {
	t.Parallel()
	a := &api{lists: map[string][]string{"/api/v1/pods": {aPod("a", "")}}}
	k, s := NewKnown(a.reader(t)), aStore(v1alpha1.WorkloadPods)
	if _, known := k.Last(s); known {
		t.Error("nothing was read")
	}
	if _, err := k.Live(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if r, known := k.Last(s); !known || len(r.Of("acme/cnf/nginx", "1")) != 1 {
		t.Error("it was read")
	}
	changed := s.DeepCopy()
	changed.Generation++
	if _, known := k.Last(changed); known {
		t.Error("another selection was not read")
	}
	none := s.DeepCopy()
	none.Spec.Workloads = nil
	if r, known := k.Last(none); !known || r != nil {
		t.Error("a store that selects nothing is known")
	}
	k.Forget(s.UID)
	if _, known := k.Last(s); known {
		t.Error("it is forgotten")
	}
}
