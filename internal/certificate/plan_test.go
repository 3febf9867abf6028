package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

var (
	start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	names = dnsNames("nfo-webhook", "nfo-system")
)

const day = 24 * time.Hour

// world is a Secret, one webhook configuration, and the leaf that one replica serves.
type world struct {
	t       *testing.T
	now     time.Time
	secret  corev1.Secret
	carried []byte
	refuses bool // the configuration cannot be patched
	held    *tls.Certificate
}

// newWorld returns a world in which everything is new and injected.
func newWorld(t *testing.T) *world {
	w := &world{t: t, now: start}
	if diff := cmp.Diff([]step{stepIssued}, w.pass()); diff != "" {
		t.Fatalf("first steps (-want +got):\n%s", diff)
	}
	return w
}

// pass does what a Keeper does, until no step is left.
func (w *world) pass() []step {
	w.t.Helper()
	var steps []step
	for range maxRounds {
		s, step, err := plan(decode(&w.secret).observe([][]byte{w.carried}, w.now), names, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		before := maps.Clone(w.secret.Data)
		since := w.secret.Annotations[sinceAnnotation]
		if err := s.encode(&w.secret); err != nil {
			w.t.Fatal(err)
		}
		changed := step != stepNone || !cmp.Equal(before, w.secret.Data) || since != w.secret.Annotations[sinceAnnotation]
		if bundle := encodeBundle(s.bundle); !w.refuses {
			changed = changed || !cmp.Equal(w.carried, bundle)
			w.carried = bundle
		}
		if step != stepNone {
			steps = append(steps, step)
		}
		if !changed {
			w.held = s.pick(w.held, names, w.now)
			return steps
		}
	}
	w.t.Fatalf("it does not come to rest: %q", steps)
	return nil
}

// later makes a pass every 20 days for a time.
func (w *world) later(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(min(20*day, end.Sub(w.now)))
		w.pass()
	}
}

func (w *world) state() state { return decode(&w.secret) }

// rotating makes passes until the next authority has been announced.
func (w *world) rotating() {
	w.t.Helper()
	for w.state().next == nil {
		w.later(20 * day)
	}
}

// put stores a certificate and its key, or only the certificate.
func (w *world) put(name string, c *tls.Certificate) {
	w.t.Helper()
	var other corev1.Secret
	s := state{leaf: c}
	if err := s.encode(&other); err != nil {
		w.t.Fatal(err)
	}
	w.secret.Data[name+".crt"], w.secret.Data[name+".key"] = other.Data["tls.crt"], other.Data["tls.key"]
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	const (
		leafSame    = "same leaf"
		issuerSame  = "new leaf, same authority"
		issuerOther = "new leaf, other authority"
	)
	tests := map[string]struct {
		reason string
		given  func(*world)
		after  time.Duration
		want   []step
		leaf   string
		served string // default: leafSame
		bundle int
	}{
		"Young": {
			reason: "there is nothing to do before two thirds of the leaf's life",
			after:  59 * day, leaf: leafSame, bundle: 1,
		},
		"LeafOld": {
			reason: "it is renewed at two thirds of its life, by the same authority, and served at once",
			after:  61 * day, want: []step{stepRenewed}, leaf: issuerSame, served: issuerSame, bundle: 1,
		},
		"LeafExpired": {
			reason: "nobody was there for long; the authority is still trusted",
			after:  91 * day, want: []step{stepIssued}, leaf: issuerSame, served: issuerSame, bundle: 1,
		},
		"LeafAboutToExpire": {
			reason: "what ends in four minutes is of no use any more",
			after:  90*day - 4*time.Minute, want: []step{stepIssued}, leaf: issuerSame, served: issuerSame, bundle: 1,
		},
		"AllExpired": {
			reason: "nothing valid is left, so that nothing waits",
			after:  11 * 365 * day, want: []step{stepIssued}, leaf: issuerOther, served: issuerOther, bundle: 2,
		},
		"ClockBackALittle": {
			reason: "certificates are valid from an hour before",
			after:  -50 * time.Minute, leaf: leafSame, bundle: 1,
		},
		"ClockBack": {
			reason: "nothing is valid yet, so that nothing waits",
			after:  -2 * time.Hour, want: []step{stepIssued}, leaf: issuerOther, served: issuerOther, bundle: 2,
		},
		"LeafUnreadable": {
			reason: "a new one is stored; what the replica has is as good",
			given:  func(w *world) { w.secret.Data["tls.crt"] = []byte("nonsense") },
			want:   []step{stepIssued}, leaf: issuerSame, served: issuerSame, bundle: 1, after: 2 * time.Hour,
		},
		"LeafKeyOfAnother": {
			reason: "a key that does not match is damage",
			given:  func(w *world) { w.secret.Data["tls.key"] = w.secret.Data["signer.key"] },
			want:   []step{stepIssued}, leaf: issuerSame, served: issuerSame, bundle: 1,
		},
		"LeafForeign": {
			reason: "right names and a key that matches, but an authority that nobody trusts",
			given: func(w *world) {
				ca := must[*tls.Certificate](w.t)(newAuthority(w.now))
				w.put("tls", must[*tls.Certificate](w.t)(issue(ca, names, w.now)))
			},
			want: []step{stepIssued}, leaf: issuerSame, served: issuerSame, bundle: 1,
		},
		"LeafOfOtherNames": {
			reason: "it has to serve every name",
			given: func(w *world) {
				w.put("tls", must[*tls.Certificate](w.t)(issue(w.state().signer, names[:1], w.now)))
			},
			want: []step{stepIssued}, leaf: issuerSame, served: issuerSame, bundle: 1,
		},
		"SignerUnreadable": {
			reason: "the leaf is still good: the next authority goes the careful way",
			given:  func(w *world) { w.secret.Data["signer.key"] = nil },
			want:   []step{stepAnnounced}, leaf: leafSame, bundle: 2,
		},
		"SignerLimited": {
			reason: "an authority that may not sign our names would have us issue for ever",
			given: func(w *world) {
				w.put("signer", must[*tls.Certificate](w.t)(sign(&x509.Certificate{
					NotBefore: w.now, NotAfter: w.now.Add(authorityLife), IsCA: true, BasicConstraintsValid: true,
					KeyUsage: x509.KeyUsageCertSign, PermittedDNSDomains: []string{"elsewhere"},
				}, nil)))
				w.secret.Data["tls.key"] = nil
			},
			want: []step{stepIssued}, leaf: issuerOther, bundle: 2,
		},
		"SignerIsALeaf": {
			reason: "only an authority signs",
			given:  func(w *world) { w.put("signer", w.state().leaf) },
			want:   []step{stepAnnounced}, leaf: leafSame, bundle: 2,
		},
		"BundleUnreadable": {
			reason: "it is made of the authorities there are",
			given:  func(w *world) { w.secret.Data["ca.crt"] = []byte("nonsense") },
			leaf:   leafSame, bundle: 1,
		},
		"BundleWithMore": {
			reason: "a stranger leaves after two overlaps",
			given: func(w *world) {
				ca := must[*tls.Certificate](w.t)(newAuthority(w.now))
				w.secret.Data["ca.crt"] = append(w.secret.Data["ca.crt"], encodeBundle([]*x509.Certificate{ca.Leaf})...)
				w.pass()
			},
			after: 2 * time.Hour, want: []step{stepDropped}, leaf: leafSame, bundle: 1,
		},
		"NextUnreadable": {
			reason: "it is made again, and its overlap begins again",
			given: func(w *world) {
				w.rotating()
				w.secret.Data["next.key"] = []byte("nonsense")
			},
			after: time.Hour, want: []step{stepAnnounced}, leaf: leafSame, bundle: 3,
		},
		"NextOnly": {
			reason: "the leaf and who signed it are damaged: the next one is trusted already",
			given: func(w *world) {
				w.rotating()
				w.secret.Data["tls.crt"], w.secret.Data["signer.crt"] = nil, nil
			},
			want: []step{stepIssued}, leaf: issuerOther, bundle: 2,
		},
		"Deleted": {
			reason: "all is new in the Secret; what is served and what it needs stay for the time",
			given:  func(w *world) { w.secret = corev1.Secret{} },
			want:   []step{stepIssued}, leaf: issuerOther, bundle: 2,
		},
		"DeletedAnHourAgo": {
			reason: "the new authority has been trusted for an overlap",
			given: func(w *world) {
				w.secret = corev1.Secret{}
				w.pass()
			},
			after: time.Hour, leaf: issuerOther, served: issuerOther, bundle: 2,
		},
		"DeletedTwoHoursAgo": {
			reason: "nobody serves what the old authority signed",
			given: func(w *world) {
				w.secret = corev1.Secret{}
				w.pass()
			},
			after: 2 * time.Hour, want: []step{stepDropped}, leaf: issuerOther, served: issuerOther, bundle: 1,
		},
		"Restored": {
			reason: "a whole Secret from elsewhere, good in itself, is taken over as a deleted one",
			given: func(w *world) {
				w.now = w.now.Add(-10 * day)
				other := newWorld(w.t)
				w.now = w.now.Add(10 * day)
				w.secret = other.secret
			},
			leaf: issuerOther, bundle: 2,
		},
		"ConfigurationWiped": {
			reason: "it is injected again",
			given:  func(w *world) { w.carried = nil },
			leaf:   leafSame, bundle: 1,
		},
		"ConfigurationOfAnother": {
			reason: "anyone who serves a leaf of the other bundle may do so for the time",
			given: func(w *world) {
				w.carried = encodeBundle([]*x509.Certificate{must[*tls.Certificate](w.t)(newAuthority(w.now)).Leaf})
			},
			leaf: leafSame, bundle: 2,
		},
		"SinceOfTheFuture": {
			reason: "the clock has been set back; the time counts from now",
			given: func(w *world) {
				w.rotating()
				w.secret.Annotations[sinceAnnotation] = w.now.Add(1000 * day).Format(time.RFC3339)
				w.pass()
			},
			after: time.Hour, want: []step{stepPromoted}, leaf: issuerOther, served: issuerOther, bundle: 2,
		},
		"SinceUnreadable": {
			reason: "it counts from now",
			given:  func(w *world) { w.secret.Annotations[sinceAnnotation] = "yesterday" },
			leaf:   leafSame, bundle: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			before, held := w.state(), w.held
			if tc.given != nil {
				tc.given(w)
				if !w.now.Equal(start) {
					before.leaf, held = w.held, w.held
				}
			}
			w.now = w.now.Add(tc.after)
			got := w.pass()
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: steps (-want +got):\n%s", tc.reason, diff)
			}
			s := w.state()
			kind := func(old, c *tls.Certificate) string {
				switch {
				case same(old, c):
					return leafSame
				case string(old.Leaf.AuthorityKeyId) == string(c.Leaf.AuthorityKeyId):
					return issuerSame
				}
				return issuerOther
			}
			if got := kind(before.leaf, s.leaf); got != tc.leaf {
				t.Errorf("%s: in the Secret is a %s, want %s", tc.reason, got, tc.leaf)
			}
			served := tc.served
			if served == "" {
				served = leafSame
			}
			if got := kind(held, w.held); got != served {
				t.Errorf("%s: served is a %s, want %s", tc.reason, got, served)
			}
			if len(s.bundle) != tc.bundle || string(w.carried) != string(encodeBundle(s.bundle)) {
				t.Errorf("%s: %d authorities in the bundle, want %d; injected as it is: %t", tc.reason, len(s.bundle), tc.bundle, string(w.carried) == string(encodeBundle(s.bundle)))
			}
			if !good(w.held, s.bundle, names, w.now) {
				t.Errorf("%s: what is served does not verify", tc.reason)
			}
			if steps := w.pass(); len(steps) != 0 {
				t.Errorf("%s: another pass did %q", tc.reason, steps)
			}
		})
	}
}
