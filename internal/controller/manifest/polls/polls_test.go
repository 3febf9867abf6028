package polls

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Times until the next poll.
const (
	aMoment = 5 * time.Second
	aWhile  = 15 * time.Second
	aDay    = 24 * time.Hour
)

// ofEntries returns a manifest and the entries for its n artifacts.
func ofEntries(name string, n int) (*v1alpha1.ArtifactManifest, []v1alpha1.ArtifactStatus) {
	m := &v1alpha1.ArtifactManifest{}
	m.UID = types.UID(name)
	var all []v1alpha1.ArtifactStatus
	for i := range n {
		all = append(all, v1alpha1.ArtifactStatus{ArtifactName: fmt.Sprintf("a%d", i), ArtifactVersion: "1"})
	}
	return m, all
}

func TestPollsStayWithinTheBudget(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	p := New(5, clock)
	m, entries := ofEntries("m", pollBurst)
	s := &v1alpha1.ArtifactStore{}
	s.UID = "s"
	for range pollBurst / pollTurn {
		mine, wait, due := p.Due(m, s, len(entries))
		if !due || mine.count != pollTurn {
			t.Fatalf("the largest manifest cannot be polled at first: %v, wait %s", mine, wait)
		}
		_ = p.Took(m, mine.Of(entries), registry.ErrUnreadable)
		p.Plan(m, aMoment)
		clock.SetTime(clock.Now().Add(2 * turnGap))
	}
	if n, partial := p.Unasked(m, entries); n > 0 || partial {
		t.Errorf("%d entries were not asked for in a whole round", n)
	}
	if _, wait, due := p.Due(m, s, 1); due || wait < aMoment-2*turnGap {
		t.Errorf("before its time: due %t, wait %s", due, wait)
	}
	if p.Trouble(m) == nil {
		t.Error("between two polls the trouble of the last one is forgotten")
	}
	m.Generation++
	if err := p.Trouble(m); err != nil {
		t.Errorf("the trouble of another generation is said: %v", err)
	}
	if _, wait, due := p.Due(m, s, 10); due || wait < time.Second {
		t.Errorf("a new generation with an empty budget: due %t, wait %s", due, wait)
	}
	if n, partial := p.Unasked(m, entries[:10]); n != 10 || !partial {
		t.Errorf("of a new generation %d entries are not asked for, want 10", n)
	}
	clock.SetTime(clock.Now().Add(2 * time.Second))
	if _, _, due := p.Due(m, s, 10); !due {
		t.Error("10 requests are not due after 2 s at 5 a second")
	}
	_ = p.Took(m, entries[:10], nil)
	p.Plan(m, aDay)
	p.Again(m)
	clock.SetTime(clock.Now().Add(time.Minute))
	if _, _, due := p.Due(m, s, 10); !due {
		t.Error("what is to be seen again is not due")
	}
}

// A round that stops at an error must continue behind it the
// next time, or the entries after it would never be asked for.
func TestPollsGoOnWhereTheyStopped(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	p := New(100, clock)
	m, entries := ofEntries("m", 5)
	s := &v1alpha1.ArtifactStore{}
	var order []string
	for range 3 {
		mine, _, due := p.Due(m, s, len(entries))
		if !due {
			t.Fatal("it is not due")
		}
		asked := mine.Of(entries)[:2] // the second one takes too long, or fails for all
		for _, e := range asked {
			order = append(order, e.ArtifactName)
		}
		_ = p.Took(m, asked, registry.ErrUnavailable)
		p.Plan(m, aWhile)
		clock.SetTime(clock.Now().Add(2 * aWhile))
	}
	if got := fmt.Sprint(order); got != "[a0 a1 a2 a3 a4 a0]" {
		t.Errorf("asked in the order %s", got)
	}
}

// Six manifests that wait for uploads use up a store's budget. A large manifest next to them must still be polled.
func TestPollsStarveNobody(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	p := New(5, clock)
	s := &v1alpha1.ArtifactStore{}
	large, entries := ofEntries("large", 300)
	type small struct {
		m *v1alpha1.ArtifactManifest
		e []v1alpha1.ArtifactStatus
	}
	var abandoned []small
	for i := range 6 {
		m, e := ofEntries(fmt.Sprint("small", i), 10)
		abandoned = append(abandoned, small{m, e})
	}
	began := clock.Now()
	for clock.Since(began) < time.Hour {
		for _, a := range abandoned {
			if mine, _, due := p.Due(a.m, s, len(a.e)); due {
				_ = p.Took(a.m, mine.Of(a.e), nil)
				p.Plan(a.m, aMoment)
			}
		}
		// The large manifest is added when no budget is left.
		if clock.Since(began) > 10*time.Minute {
			if mine, _, due := p.Due(large, s, len(entries)); due {
				_ = p.Took(large, mine.Of(entries), nil)
				p.Plan(large, aMoment)
				if n, partial := p.Unasked(large, entries); n == 0 && !partial {
					if took := clock.Since(began) - 10*time.Minute; took > 5*time.Minute {
						t.Errorf("all entries were asked for after %s", took)
					}
					return
				}
			}
		}
		clock.SetTime(clock.Now().Add(250 * time.Millisecond))
	}
	n, _ := p.Unasked(large, entries)
	t.Errorf("after 50 minutes %d of %d entries were not asked for", n, len(entries))
}
