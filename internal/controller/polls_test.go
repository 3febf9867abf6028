package controller

import (
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

func TestPollsStayWithinTheBudget(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	p := newPolls(5, clock)
	m, s := &v1alpha1.ArtifactManifest{}, &v1alpha1.ArtifactStore{}
	m.UID, s.UID = "m", "s"
	if due, _ := p.due(m, s, pollBurst); !due {
		t.Fatal("the largest manifest cannot be polled at first")
	}
	p.plan(m, pollMissing, registry.ErrUnreadable)
	if due, wait := p.due(m, s, 1); due || wait < pollMissing {
		t.Errorf("before its time: due %t, wait %s", due, wait)
	}
	if p.trouble(m) == nil {
		t.Error("between two polls the trouble of the last one is forgotten")
	}
	m.Generation++
	if err := p.trouble(m); err != nil {
		t.Errorf("the trouble of another generation is told: %v", err)
	}
	if due, wait := p.due(m, s, 10); due || wait < 2*time.Second {
		t.Errorf("a new generation with an empty budget: due %t, wait %s", due, wait)
	}
	clock.SetTime(clock.Now().Add(2 * time.Second))
	if due, _ := p.due(m, s, 10); !due {
		t.Error("10 requests are not due after 2 s at 5 a second")
	}
	p.plan(m, pollSealed, nil)
	p.forget(m.UID)
	clock.SetTime(clock.Now().Add(time.Minute))
	if due, _ := p.due(m, s, 10); !due {
		t.Error("what was forgotten is not due")
	}
}
