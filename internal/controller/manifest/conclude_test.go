package manifest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/release"
)

// A pass that is repeated at once must write nothing, because it would then not find its own
// write in the cache. Many manifests can wait for a place in a registry at the same time.
func TestWhatComesAgainAtOnceIsNotReported(t *testing.T) {
	t.Parallel()
	free, late := deleting(func(*manifestSeen) {}), manifestDone{release: release.Released{Holders: holders}}
	used := deleting(func(s *manifestSeen) { s.holders = holders })
	for name, tc := range map[string]struct {
		reason string
		seen   manifestSeen
		done   manifestDone
		err    error
		silent bool
		says   string
	}{
		"Busy":    {"it waits for a place", free, manifestDone{}, lane.BusyError(time.Second), true, ""},
		"Lags":    {"the cache lags behind", free, manifestDone{}, reference.ErrSuperseded, true, ""},
		"Failed":  {"a person may have to do something", free, manifestDone{}, registry.ErrUnavailable, false, "Unavailable"},
		"Claimed": {"a purge may take an hour", free, manifestDone{}, release.ErrClaimed, false, "Pending"},
		"Late":    {"a person has to know what holds it", free, late, reference.ErrSuperseded, false, "InUse"},
		"Held":    {"whatever is to be put back", used, manifestDone{}, release.ErrClaimed, false, "InUse"},
		"Kept":    {"that it is held says nothing of the registry", used, manifestDone{}, registry.ErrUnavailable, false, "Unavailable"},
		"Done":    {"it is released", free, manifestDone{}, nil, false, "Released"},
	} {
		v := decideManifest(tc.seen).after(tc.seen, tc.done, tc.err)
		if v.silent != tc.silent {
			t.Errorf("%s: silent is %t, want %t: %s", name, v.silent, tc.silent, tc.reason)
		}
		var cs []metav1.Condition
		v.conditions.Apply(&cs, 1)
		blocked := apimeta.FindStatusCondition(cs, v1alpha1.ConditionDeletionBlocked)
		if tc.says != "" && (blocked == nil || blocked.Reason != tc.says) {
			t.Errorf("%s: DeletionBlocked is %v, want %s: %s", name, blocked, tc.says, tc.reason)
		}
		if len(v.holders) > 0 && blocked != nil && strings.Contains(blocked.Message, "No object references this manifest") {
			t.Errorf("%s: it says that %s", name, blocked.Message)
		}
	}
}

// The conditions must not ask anybody to push what a tombstone restores,
// only what cannot be restored, whatever happens to the other entries.
func TestNobodyIsAskedToPushWhatIsRestored(t *testing.T) {
	t.Parallel()
	two := observed(func(s *manifestSeen) {
		s.manifest.Spec.Artifacts = append(s.manifest.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "other", ArtifactVersion: "1.0.0"})
		s.tags[listed], s.tags[inventory.Entry{Name: "other", Version: "1.0.0"}] = tagSeen{}, tagSeen{}
		s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10)}
	})
	one := observed(func(s *manifestSeen) {
		s.tags[listed] = tagSeen{}
		s.tombstones = two.tombstones
	})
	for name, tc := range map[string]struct {
		seen manifestSeen
		done manifestDone
		want string
	}{
		"All":   {one, manifestDone{}, "Restoring: nfo restores 1 of 1 tags from tombstones. Nothing needs to be pushed."},
		"Other": {two, manifestDone{}, "Missing: 1 of 2 artifacts are not in the registry: acme/m/other:1.0.0. Push them to these paths."},
		"Lost":  {one, manifestDone{undone: release.Undone{Lost: []string{repo + ":1.0.0"}}}, "Missing: 1 of 1 artifacts are not in the registry: " + repo + ":1.0.0. Push them to these paths."},
	} {
		v := decideManifest(tc.seen).after(tc.seen, tc.done, nil)
		var cs []metav1.Condition
		v.conditions.Apply(&cs, 1)
		if c := apimeta.FindStatusCondition(cs, v1alpha1.ConditionUploaded); c.Reason+": "+c.Message != tc.want {
			t.Errorf("%s: it says %s: %s; want %s", name, c.Reason, c.Message, tc.want)
		}
	}
}

// lagging is a cache that lacks one tombstone.
type lagging struct {
	client.Client
	without string
}

func (l lagging) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	err := l.Client.List(ctx, into, opts...)
	if all, ok := into.(*v1alpha1.TombstoneList); ok {
		all.Items = slices.DeleteFunc(all.Items, func(t v1alpha1.Tombstone) bool { return t.Name == l.without })
	}
	return err
}

// If a manifest was released twice, the latest release is restored, even while the cache has only the earlier one.
func TestI5NothingIsRestoredBeforeTheLatestReleaseIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.released()
	later := w.Tombstones(t)[0].DeepCopy()
	status := later.Status
	later.Name, later.UID, later.ResourceVersion = "later", "later", ""
	if err := w.API.Create(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if later.Status = status; w.API.Status().Update(t.Context(), later) != nil {
		t.Fatal("the later tombstone has no status")
	}
	w.restart()
	w.r.Client = lagging{w.API, "later"}
	w.apply(func(*v1alpha1.ArtifactManifest) {})
	w.passes(3)
	w.tags("", "")
	w.settle("Ready=True/Ready", "Uploaded=True/Complete")
}

// The events of a manifest that is applied again must say that it is restored, and must not warn.
func TestAnUndoWarnsOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.released()
	for len(w.Events.Events) > 0 {
		<-w.Events.Events
	}
	w.apply(func(*v1alpha1.ArtifactManifest) {})
	w.settle("Ready=True/Ready", "Uploaded=True/Complete")
	restored := false
	for len(w.Events.Events) > 0 {
		e := <-w.Events.Events
		restored = restored || strings.HasPrefix(e, "Normal Restored")
		if strings.HasPrefix(e, "Warning") || strings.Contains(e, "Push") {
			t.Errorf("an event of the undo is %q", e)
		}
	}
	if !restored {
		t.Error("no event says that tags are restored")
	}
}

// What a release waits for must be reported once, before it begins,
// because a registry that does not answer can delay it for long.
func TestAReleaseSaysFirstWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	down := func(s *manifestSeen) {
		s.store.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReachable, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnavailable, Message: "No answer."}}
	}
	was := func(reason string) func(*manifestSeen) {
		return func(s *manifestSeen) {
			s.manifest.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDeletionBlocked, Status: metav1.ConditionTrue, Reason: reason}}
		}
	}
	both := func(a, b func(*manifestSeen)) func(*manifestSeen) { return func(s *manifestSeen) { a(s); b(s) } }
	for name, tc := range map[string]struct {
		reason string
		seen   manifestSeen
		want   string
	}{
		"Well":    {"it is over in a moment", deleting(func(*manifestSeen) {}), ""},
		"Down":    {"the store knows that the registry does not answer", deleting(down), "Unavailable"},
		"Said":    {"the last attempt says more", deleting(both(down, was(v1alpha1.ReasonUnavailable))), ""},
		"Held":    {"it waits for its holders", deleting(both(down, func(s *manifestSeen) { s.holders = holders })), ""},
		"Running": {"it waits for workloads", deleting(both(was(v1alpha1.ReasonInUse), func(s *manifestSeen) { s.running = holders })), ""},
		"Freed":   {"its holders have gone", deleting(was(v1alpha1.ReasonInUse)), ""},
		"Neither": {"its holders have gone, and the registry does not answer", deleting(both(down, was(v1alpha1.ReasonInUse))), "Unavailable"},
		"Kept":    {"it is not being deleted", observed(down), ""},
	} {
		reason, message := tc.seen.waits(decideManifest(tc.seen))
		if reason != tc.want || (reason == "") != (message == "") {
			t.Errorf("%s: it waits for %q (%s), want %q: %s", name, reason, message, tc.want, tc.reason)
		}
	}
}

// While the registry does not answer, a manifest that is being
// deleted must say so, and not that deleted objects reference it.
func TestADeletionThatWaitsForTheRegistrySaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready()
	holder := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: passtest.Meta("nfdv")}
	holder.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{Name: "app"}}
	profile := &holder.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile
	profile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: "m"}
	profile.HelmArtifactProfile.HelmPackageName, profile.HelmArtifactProfile.HelmPackageVersionRange = "a", "1"
	if err := w.API.Create(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	w.remove()
	w.passes(1)
	w.says("DeletionBlocked=True/InUse", "Referenced=True/InUse")
	if err := w.API.Delete(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	w.Down()
	store := w.Store.DeepCopy()
	if err := w.API.Get(t.Context(), client.ObjectKeyFromObject(store), store); err != nil {
		t.Fatal(err)
	}
	apimeta.SetStatusCondition(&store.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReachable, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnavailable, Message: "No answer."})
	if err := w.API.Status().Update(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	for len(w.Events.Events) > 0 {
		<-w.Events.Events
	}
	w.passes(1)
	w.says("DeletionBlocked=True/Unavailable", "Referenced=False/Unreferenced")
	if said := <-w.Events.Events; !strings.Contains(said, "Its deletion waits for the registry of ArtifactStore acme: No answer. nfo will retry.") {
		t.Errorf("first it says %s", said)
	}
}

// I2: the holders in the status are read by name before anything is released, even
// if no list contains them. So the status write before the release must keep them.
func TestI2WhatIsSaidBeforeAReleaseKeepsWhoTheStatusKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready()
	m := w.manifest()
	m.Status.Dependents = reference.Dependents(holders)
	if err := w.API.Status().Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.remove()
	m = w.manifest()
	store := w.Store.DeepCopy()
	store.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReachable, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnavailable, Message: "No answer."}}
	seen := manifestSeen{manifest: m, store: store}
	if _, err := w.r.reportWait(t.Context(), m, m.DeepCopy(), seen, decideManifest(seen)); err != nil {
		t.Fatal(err)
	}
	w.says("DeletionBlocked=True/Unavailable")
	if known := w.manifest().Status.Dependents; len(known.Dependents) == 0 {
		t.Error("the status no longer says who held the manifest")
	}
}

// The API server does not have a kind whose objects may hold the manifest. The status must not say that
// nothing holds it. It keeps the recorded holders, which the next release reads by name, too.
func TestI2AManifestDoesNotSayThatNothingHoldsItWhileThatIsUnknown(t *testing.T) {
	t.Parallel()
	for name, recorded := range map[string][]reference.Holder{"NothingRecorded": nil, "Recorded": holders} {
		w := newWorld(t)
		w.ready()
		m := w.manifest()
		m.Status.Dependents = reference.Dependents(recorded)
		if err := w.API.Status().Update(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if err := w.API.Delete(t.Context(), referencetest.Definition(v1alpha1.KindDesign, time.Time{})); err != nil {
			t.Fatal(err)
		}
		w.remove()
		w.passes(1)
		w.says("DeletionBlocked=True/HoldersUnknown", "Referenced=Unknown/HoldersUnknown")
		m = w.manifest()
		if n := m.Status.DependentCount; len(m.Status.Dependents.Dependents) != len(recorded) || n != nil && *n == 0 {
			t.Errorf("%s: the dependents are %+v", name, m.Status.Dependents)
		}
		w.passes(2)
		if now := w.manifest(); now.ResourceVersion != m.ResourceVersion {
			t.Errorf("%s: a pass that has nothing new wrote the status", name)
		}
	}
}

// That a holder is being deleted is not written to the manifest's
// status if the holder is soon gone, and is written if not.
func TestAHolderThatGoesIsNotReworded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: passtest.Meta("d")}
	d.UID, d.Finalizers = "uid-of-d", []string{v1alpha1.Finalizer}
	app := v1alpha1.NetworkFunctionApplication{Name: "app"}
	app.ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: "m"}
	app.ArtifactProfile.HelmArtifactProfile.HelmPackageName = "a"
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{app}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.API.Create(t.Context(), d))
	w.passes(2)
	w.remove()
	w.passes(2)
	w.says("DeletionBlocked=True/InUse")
	says := func(reworded bool, again time.Duration) {
		t.Helper()
		got, err := w.r.Reconcile(t.Context(), w.manifest())
		must(err)
		c := apimeta.FindStatusCondition(w.manifest().Status.Conditions, v1alpha1.ConditionDeletionBlocked)
		if is := strings.Contains(c.Message, "itself being deleted"); is != reworded || got.RequeueAfter != again {
			t.Errorf("it comes again after %s and says %q; want %t after %s", got.RequeueAfter, c.Message, reworded, again)
		}
	}
	says(false, 0)
	must(w.API.Delete(t.Context(), d))
	says(false, messageDelay)
	w.Clock.SetTime(w.Clock.Now().Add(messageDelay - time.Second))
	says(false, time.Second)
	w.Clock.SetTime(w.Clock.Now().Add(time.Second))
	says(true, 0)
	says(true, 0)
}
