package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The authority must change in three steps, each an overlap after the previous step was seen to be complete.
func TestPlanRotatesTheAuthority(t *testing.T) {
	t.Parallel()
	type at struct {
		minute  int
		refuses bool
		want    []step
	}
	tests := map[string]struct {
		reason string
		at     []at
	}{
		"Usual": {
			reason: "an overlap between the steps",
			at:     []at{{minute: 59}, {minute: 60, want: []step{stepPromoted}}, {minute: 119}, {minute: 120, want: []step{stepDropped}}, {minute: 500}},
		},
		"Late": {
			reason: "nobody was there; the old authority stays an overlap after the leaf of the next one",
			at:     []at{{minute: 300, want: []step{stepPromoted}}, {minute: 359}, {minute: 360, want: []step{stepDropped}}},
		},
		"Crash": {
			reason: "what was dropped before a crash does not come back from the configuration",
			at:     []at{{minute: 60, want: []step{stepPromoted}}, {minute: 120, refuses: true, want: []step{stepDropped}}, {minute: 121}, {minute: 241}},
		},
		"ClockBack": {
			reason: "time that counts does not run backwards",
			at:     []at{{minute: 40}, {minute: 20}, {minute: 59}, {minute: 60, want: []step{stepPromoted}}, {minute: 50}, {minute: 120, want: []step{stepDropped}}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rotating()
			began, old := w.now, w.state().signer
			if life := began.Sub(start); life < authorityLife*2/3-day || life > authorityLife*2/3+21*day {
				t.Errorf("it began after %s", life)
			}
			for _, a := range tc.at {
				w.now, w.refuses = began.Add(time.Duration(a.minute)*time.Minute), a.refuses
				if diff := cmp.Diff(a.want, w.pass()); diff != "" {
					t.Errorf("%s: minute %d (-want +got):\n%s", tc.reason, a.minute, diff)
				}
			}
			s := w.state()
			if len(s.bundle) != 1 || s.next != nil || same(s.signer, old) || !signedBy(w.held, s.signer.Leaf) {
				t.Errorf("%s: it has not changed in full: %d authorities", tc.reason, len(s.bundle))
			}
		})
	}
}

// While the bundle cannot be injected, the steps that need it
// must wait, and the leaf must be renewed by a trusted authority.
func TestPlanWaitsForTheBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for w.now.Before(start.Add(authorityLife * 2 / 3).Add(-2 * day)) {
		w.later(20 * day)
		if w.state().next != nil {
			break
		}
	}
	w.secret.Data["signer.key"] = w.secret.Data["signer.key"][:10]
	w.secret.Data["next.key"] = nil
	w.refuses = true
	carried := w.carried
	if diff := cmp.Diff([]step{stepAnnounced}, w.pass()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.now = w.now.Add(5 * day)
	if steps := w.pass(); len(steps) != 0 || !good(w.held, parseBundle(carried), names, w.now) {
		t.Errorf("%q although no API server trusts the next authority", steps)
	}
	w.refuses = false
	w.pass()
	w.now = w.now.Add(overlap)
	if diff := cmp.Diff([]step{stepPromoted}, w.pass()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An authority that ends soon, because the next one was never
// trusted, must not cause the leaf to be renewed in every pass.
func TestPlanAtTheEndOfAnAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rotating()
	w.refuses, w.carried = true, nil
	end := w.state().signer.Leaf.NotAfter
	w.later(end.Sub(w.now) - 2*day)
	renewals := 0
	for ; w.now.Before(end); w.now = w.now.Add(10 * time.Minute) {
		renewals += len(w.pass())
	}
	if renewals > 3 {
		t.Errorf("%d steps in the last two days", renewals)
	}
}

// The bundle must be bounded, and keep the authorities in use.
func TestBundleIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 * maxAuthorities {
		ca := must[*tls.Certificate](t)(newAuthority(w.now))
		w.secret.Data["ca.crt"] = append(w.secret.Data["ca.crt"], encodeBundle([]*x509.Certificate{ca.Leaf})...)
	}
	w.pass()
	if n := len(w.state().bundle); n > maxAuthorities {
		t.Errorf("%d authorities", n)
	}
	if !good(w.held, parseBundle(w.carried), names, w.now) {
		t.Error("what is served does not verify any more")
	}
}

// The stored state must be read back unchanged, and foreign parts of the Secret must stay.
func TestSecretKeepsWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secret.Data["note"] = []byte("mine")
	w.secret.Annotations["note"] = "mine"
	w.later(61 * day)
	if string(w.secret.Data["note"]) != "mine" || w.secret.Annotations["note"] != "mine" {
		t.Error("it is gone")
	}
}
