package release

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	for reason, tc := range map[string]struct {
		r    Released
		want string
	}{
		"nothing was there":                      {Released{}, "No artifact of it was in the registry."},
		"its tags are removed":                   {Released{Tombstones: []string{"m-1", "m-2"}}, "Its tags are removed and recorded in tombstone m-1, m-2. Apply the manifest again to restore them."},
		"the registry cannot remove a tag alone": {Released{Tombstones: []string{"m-1"}, stay: true}, "stay until a purge removes them with their digests."},
		"others list all of them":                {Released{listed: []string{"a:1 (n)"}}, "Other manifests list these tags, which stay: a:1 (n)."},
		"others list some of them":               {Released{Tombstones: []string{"m-1"}, listed: []string{"a:1 (n)"}}, "recorded in tombstone m-1. Apply the manifest again to restore them. Other manifests list these tags"},
	} {
		if got := tc.r.Outcome(); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", reason, got, tc.want)
		}
	}
}

// The claim of a purge counts while the purge renews its Lease, measured
// by the observer's clock: the time in the Lease comes from another clock.
func TestAPurgeIsAliveWhileItRenewsItsLease(t *testing.T) {
	t.Parallel()
	scheme, err := reference.NewScheme()
	if err == nil {
		err = coordinationv1.AddToScheme(scheme)
	}
	if err != nil {
		t.Fatal(err)
	}
	down, fails := errors.New("connection refused"), false
	// The store may have been deleted since.
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: cronjob.LeaseName("acme"), Labels: cronjob.Labels()}}
	foreign := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "acme"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("x"), LeaseDurationSeconds: new(int32(15))}}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = new("purge-1"), new(int32(15))
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(lease, foreign).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, api client.WithWatch, all client.ObjectList, options ...client.ListOption) error {
			if fails {
				return down
			}
			asked := (&client.ListOptions{}).ApplyOptions(options)
			if asked.Limit != leasesAtOnce {
				t.Errorf("%d Leases are read at once, want %d", asked.Limit, leasesAtOnce)
			}
			return api.List(ctx, all, options...)
		},
	}).Build()
	clock := testingclock.NewFakePassiveClock(time.Now())
	p := NewPurges(clock)
	step := func(reason string, after time.Duration, want bool) {
		t.Helper()
		clock.SetTime(clock.Now().Add(after))
		if got, err := p.running(t.Context(), c, "ns"); err != nil || got != want {
			t.Errorf("%s: alive %t, %v, want %t", reason, got, err, want)
		}
	}
	step("it is seen for the first time", 0, true)
	step("it may renew it yet", 29*time.Second, true)
	step("it has not for twice its time", time.Second, false)
	if lease.Spec.RenewTime = new(metav1.NowMicro()); c.Update(t.Context(), lease) != nil {
		t.Fatal("the Lease is not renewed")
	}
	step("it has renewed it", time.Hour, true)
	if lease.Spec.HolderIdentity = new(""); c.Update(t.Context(), lease) != nil {
		t.Fatal("the Lease is not given back")
	}
	step("it has given it back", 0, false)
	if got, err := p.running(t.Context(), c, "other"); got || err != nil {
		t.Errorf("no purge has ever run in the other namespace, whose Lease is somebody else's: %t, %v", got, err)
	}
	for i := range maxLeases {
		l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "many", Name: fmt.Sprint(i), Labels: cronjob.Labels()}}
		if err := c.Create(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := p.running(t.Context(), c, "many"); got || err != nil {
		t.Errorf("of as many as are read none is held: %t, %v", got, err)
	}
	one := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "many", Name: "one-more", Labels: cronjob.Labels()}}
	if err := c.Create(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if got, err := p.running(t.Context(), c, "many"); !got || err == nil || !strings.Contains(err.Error(), "delete those") {
		t.Errorf("of more it is unknown: %t, %v", got, err)
	}
	fails = true
	if got, err := p.running(t.Context(), c, "ns"); !got || !errors.Is(err, down) {
		t.Errorf("where nobody knows, it is taken for dead: %t, %v", got, err)
	}
	for i := range 2 * maxLeases {
		p.alive(client.ObjectKey{Name: strings.Repeat("x", i)}, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("p"), LeaseDurationSeconds: new(int32(1))}})
	}
	if len(p.seen) > maxLeases {
		t.Errorf("%d leases are remembered", len(p.seen))
	}
}

// A manifest that has changed since it was seen, or a store with another UID, must be read again.
func TestWhatHasChangedIsSuperseded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	r := w.releaser()
	if err := r.Unchanged(t.Context(), w.manifest); err != nil {
		t.Errorf("as it was seen: %v", err)
	}
	for what, change := range map[string]func(*v1alpha1.ArtifactManifest){
		"another object": func(m *v1alpha1.ArtifactManifest) { m.UID = "another" },
		"another spec":   func(m *v1alpha1.ArtifactManifest) { m.Generation++ },
		"another annotation": func(m *v1alpha1.ArtifactManifest) {
			m.Annotations = map[string]string{v1alpha1.AnnotationRestoreDigest: "x"}
		},
	} {
		seen := w.manifest.DeepCopy()
		if change(seen); !errors.Is(r.Unchanged(t.Context(), seen), reference.ErrSuperseded) {
			t.Errorf("%s: %v, want %v", what, r.Unchanged(t.Context(), seen), reference.ErrSuperseded)
		}
	}
	gone := w.manifest.DeepCopy()
	if gone.Name = "gone"; !strings.Contains(r.Unchanged(t.Context(), gone).Error(), "not found") {
		t.Error("one that has gone is unchanged")
	}
	store := &v1alpha1.ArtifactStore{}
	if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, store); err != nil {
		t.Fatal(err)
	}
	other := store.DeepCopy()
	other.UID = "another"
	if _, err := r.store(t.Context(), other); !errors.Is(err, reference.ErrSuperseded) {
		t.Errorf("another store of the name: %v", err)
	}
}

// A digest whose tag was overwritten gets an undo tag if its store wants that and the registry still has the digest.
func TestI5AnOverwrittenDigestIsQuarantined(t *testing.T) {
	t.Parallel()
	for _, undo := range []v1alpha1.UndoMode{v1alpha1.UndoQuarantineTag, v1alpha1.UndoUntagged} {
		w := newWorld(t, "a")
		store := &v1alpha1.ArtifactStore{}
		if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, store); err != nil {
			t.Fatal(err)
		}
		if store.Spec.Purge.Undo = undo; w.api.Update(t.Context(), store) != nil {
			t.Fatal("the store is not changed")
		}
		e := w.manifest.Status.Artifacts[0]
		reasons, err := w.releaser().QuarantineOverwritten(t.Context(), store, w.manifest, e)
		tag := graph.UndoTag(digest.Digest(e.Digest))
		if err != nil || len(reasons) > 0 || (w.at("a", tag) == e.Digest) != (undo == v1alpha1.UndoQuarantineTag) {
			t.Errorf("%s: %v, %v, and the undo tag is at %q", undo, reasons, err, w.at("a", tag))
		}
		e.Digest = "sha256:" + strings.Repeat("1", 64)
		reasons, err = w.releaser().QuarantineOverwritten(t.Context(), store, w.manifest, e)
		if want := undo == v1alpha1.UndoQuarantineTag; err != nil || (reasons[e.Repository+":"+e.ArtifactVersion] == tombstone.DigestLost) != want {
			t.Errorf("%s: of a digest that is lost it says %v, %v", undo, reasons, err)
		}
	}
}

// A place that the administrator denies is not used, even before the status of the store says so.
func TestAStoreIsInertByItsPlace(t *testing.T) {
	t.Parallel()
	denied, err := place.Parse([]byte("default: Deny\nplaces: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	s := &v1alpha1.ArtifactStore{}
	if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, s); err != nil {
		t.Fatal(err)
	}
	r := w.releaser()
	if why := r.InertByStatus(s, w.location); why != nil {
		t.Errorf("any place may be used: %v", why)
	}
	if why, err := r.Inert(s, nil); why != "" || err != nil {
		t.Errorf("any place may be used: %q, %v", why, err)
	}
	r.Places = denied
	if why := r.InertByStatus(s, w.location); why == nil || why.Reason != v1alpha1.ReasonPlaceRefused {
		t.Errorf("no place may be used: %v", why)
	}
	if why, err := r.Inert(s, nil); !strings.Contains(why, "Store acme is inert, and the artifacts stay in the registry") || err != nil {
		t.Errorf("no place may be used: %q, %v", why, err)
	}
	r.Places = place.Rules{}
	s.Status.Conditions[0] = metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPlaceRefused}
	if _, err := r.Inert(s, nil); !errors.Is(err, reference.ErrSuperseded) {
		t.Errorf("I2: the status may be wrong for a moment: %v", err)
	}
	first := s.DeepCopy()
	first.Namespace, first.Name, first.UID, first.CreationTimestamp = "ns0", "first", "0", metav1.NewTime(s.CreationTimestamp.Add(-time.Hour))
	first.Status.FirstReadyTime = new(metav1.NewTime(s.Status.FirstReadyTime.Add(-time.Hour)))
	if why, err := r.Inert(s, []v1alpha1.ArtifactStore{*first, *s}); !strings.Contains(why, "because store ns0/first has an overlapping URL and precedes it") || err != nil {
		t.Errorf("another store precedes it: %q, %v", why, err)
	}
	s.Spec.Registry.URL = "ftp://x"
	if why, err := r.Inert(s, nil); !strings.Contains(why, "nothing was ever done there") || err != nil {
		t.Errorf("a URL that is not one: %q, %v", why, err)
	}
}
