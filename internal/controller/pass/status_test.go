package pass

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/workload"
)

// cluster makes a fake API server with a manifest.
func cluster(t *testing.T, funcs interceptor.Funcs, edit ...func(*v1alpha1.ArtifactManifest)) (client.WithWatch, *v1alpha1.ArtifactManifest) {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "m", UID: "u1"}}
	for _, e := range edit {
		e(m)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(m).WithStatusSubresource(m).WithInterceptorFuncs(funcs).Build()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
		t.Fatal(err)
	}
	return c, m
}

// The finalizer is added once, and the pass continues with the stored object.
func TestProtect(t *testing.T) {
	t.Parallel()
	patches := 0
	c, m := cluster(t, interceptor.Funcs{Patch: func(ctx context.Context, api client.WithWatch, o client.Object, p client.Patch, options ...client.PatchOption) error {
		patches++
		return api.Patch(ctx, o, p, options...)
	}})
	old := m.DeepCopy()
	for range 2 {
		if err := Protect(t.Context(), c, m); err != nil {
			t.Fatal(err)
		}
	}
	if patches != 1 || !cmp.Equal(m.Finalizers, []string{v1alpha1.Finalizer}) || m.ResourceVersion == old.ResourceVersion {
		t.Errorf("%d patches, and the finalizers are %v of version %s", patches, m.Finalizers, m.ResourceVersion)
	}
	// A cache that lags must not undo what another writer has changed.
	if err := Protect(t.Context(), c, old); !apierrors.IsConflict(err) {
		t.Errorf("over an older version: %v, want a conflict", err)
	}
	released, err := NewReleased()
	if err != nil {
		t.Fatal(err)
	}
	stale := m.DeepCopy()
	if stale.ResourceVersion = old.ResourceVersion; released.Unprotect(t.Context(), c, stale) == nil || released.Has(m.UID) {
		t.Error("an older version was released")
	}
	for range 2 {
		if err := released.Unprotect(t.Context(), c, m); err != nil {
			t.Fatal(err)
		}
	}
	if patches != 4 || len(m.Finalizers) != 0 {
		t.Errorf("%d patches, and the finalizers are %v", patches, m.Finalizers)
	}
	gone := m.DeepCopy()
	gone.Name, gone.Finalizers = "gone", []string{v1alpha1.Finalizer}
	if err := released.Unprotect(t.Context(), c, gone); err != nil || !released.Has(m.UID) {
		t.Errorf("what has gone is released: %v", err)
	}
}

func TestWhatIsBeingDeletedGetsNoFinalizer(t *testing.T) {
	t.Parallel()
	c, m := cluster(t, interceptor.Funcs{}, func(m *v1alpha1.ArtifactManifest) { m.Finalizers = []string{"example.com/other"} })
	if err := c.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
		t.Fatal(err)
	}
	if err := Protect(t.Context(), c, m); err != nil || len(m.Finalizers) != 1 {
		t.Errorf("%v, %v", m.Finalizers, err)
	}
}

// TestFinish finds a terminal error, and one that only a person can correct but that is retried fast.
func TestFinish(t *testing.T) {
	t.Parallel()
	said := ctrl.Result{RequeueAfter: time.Hour}
	later := &failure.Error{Class: registry.ErrUnavailable, Cause: errors.New("busy"), After: 7 * time.Second}
	for name, tc := range map[string]struct {
		reason string
		err    error
		want   ctrl.Result
		noisy  bool // retried by the queue's backoff
	}{
		"Well":         {"the pass says when the next is", nil, said, false},
		"Secret":       {"a person must act", backend.ErrSecretNotFound, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"Workloads":    {"a right is missing", workload.ErrUnreadable, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"Holders":      {"an API cannot be read", reference.ErrHoldersUnknown, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"Name":         {"a name is taken", &NameTakenError{[]string{"CronJob p/a"}}, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"OnDelete":     {"an annotation is invalid", release.ErrOnDelete, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"Store":        {"the store does not exist", release.ErrStoreNotFound, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"Shared":       {"the place is another store's, too", release.ErrShared, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"URL":          {"an invalid URL", v1alpha1.ErrRegistryURL, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"Unsupported":  {"a registry without the feature", registry.ErrUnsupported, ctrl.Result{RequeueAfter: StuckRetry}, false},
		"Conflict":     {"the cache lags", apierrors.NewConflict(schema.GroupResource{}, "m", nil), ctrl.Result{RequeueAfter: againAfter}, false},
		"Superseded":   {"so it does here", reference.ErrSuperseded, ctrl.Result{RequeueAfter: againAfter}, false},
		"Busy":         {"the lane says when", fmt.Errorf("entering: %w", lane.BusyError(3*time.Second)), ctrl.Result{RequeueAfter: 3 * time.Second}, false},
		"AskedToWait":  {"the registry says when", later, ctrl.Result{RequeueAfter: 7 * time.Second}, false},
		"Unavailable":  {"the queue's backoff", registry.ErrUnavailable, ctrl.Result{}, true},
		"Missing":      {"it may be pushed soon", registry.ErrNotFound, ctrl.Result{}, true},
		"StillThere":   {"the registry has not deleted it yet", release.ErrStillThere, ctrl.Result{}, true},
		"NobodyKnows":  {"an error of no known kind", errors.New("broken"), ctrl.Result{}, true},
		"WrappedStuck": {"what it is wrapped in does not matter", fmt.Errorf("reading: %w", registry.ErrDenied), ctrl.Result{RequeueAfter: StuckRetry}, false},
	} {
		got, err := Finish(said, tc.err)
		if got != tc.want || (err != nil) != tc.noisy {
			t.Errorf("%s: %s: %v, %v, want %v", name, tc.reason, got, err, tc.want)
		}
		if soon := tc.want.RequeueAfter == againAfter || errors.As(tc.err, new(lane.BusyError)); Soon(tc.err) != soon || Fleeting(tc.err) != soon {
			t.Errorf("%s: it comes again soon: %t, and is fleeting: %t, want %t", name, Soon(tc.err), Fleeting(tc.err), soon)
		}
	}
	if !Soon(release.ErrClaimed) || Fleeting(release.ErrClaimed) {
		t.Error("the claim of a purge lasts as long as the purge, and is worth reporting")
	}
	if got := ReasonOf(registry.ErrDenied); got != v1alpha1.ReasonDenied {
		t.Errorf("the reason is %s", got)
	}
}

func TestNameTakenNamesWhatToRename(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		objects []string
		says    string
	}{
		{[]string{"CronJob p/a"}, "CronJob p/a. nfo changes nothing under this name, because it was not made for this store. Delete or rename it,"},
		{[]string{"CronJob p/a", "RoleBinding p/a"}, "because they were not made for this store. Delete or rename them,"},
	} {
		if got := (&NameTakenError{tc.objects}).Error(); !strings.Contains(got, tc.says) {
			t.Errorf("%q, want %q", got, tc.says)
		}
	}
}

// TestConditions finds conditions that lack the generation that the pass has seen, or are not sorted.
func TestConditions(t *testing.T) {
	t.Parallel()
	subject := reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "publisher", Name: "m"}
	held := []reference.Holder{{Object: reference.Object{Kind: v1alpha1.KindDefinition, Namespace: "publisher", Name: "upf"}, References: []reference.Reference{{Artifact: "upf", Version: "1"}}}}
	runs := []reference.Holder{{Object: reference.Object{Kind: "Pod", Namespace: "cnf", Name: "upf-0"}, References: []reference.Reference{{}}}}
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "m"}}
	type is struct {
		status metav1.ConditionStatus
		reason string
		says   string
	}
	for name, tc := range map[string]struct {
		set  func(cs *Conditions)
		want map[string]is
	}{
		"Free": {func(cs *Conditions) { cs.Referenced(subject, nil) }, map[string]is{v1alpha1.ConditionReferenced: {"False", v1alpha1.ReasonUnreferenced, "No object references it."}}},
		"Held": {func(cs *Conditions) { cs.Referenced(subject, held) }, map[string]is{v1alpha1.ConditionReferenced: {"True", v1alpha1.ReasonInUse, "artifact upf:1"}}},
		"Blocked": {func(cs *Conditions) { cs.Blocked(subject, held) }, map[string]is{
			v1alpha1.ConditionDeletionBlocked: {"True", v1alpha1.ReasonInUse, "Deletion continues automatically once these are deleted."}, v1alpha1.ConditionReady: {"False", v1alpha1.ReasonDeleting, "waits for what holds it"},
		}},
		"BlockedByPods": {func(cs *Conditions) { cs.Blocked(subject, runs) }, map[string]is{
			v1alpha1.ConditionDeletionBlocked: {"True", v1alpha1.ReasonInUse, "nfo checks what workloads run every 10 seconds at first"}, v1alpha1.ConditionReady: {"False", v1alpha1.ReasonDeleting, ""},
		}},
		"Doubted": {func(cs *Conditions) { cs.Doubted(registry.ErrDenied) }, map[string]is{
			v1alpha1.ConditionDeletionBlocked: {"True", v1alpha1.ReasonHoldersUnknown, "may read, push and delete there."}, v1alpha1.ConditionReady: {"False", v1alpha1.ReasonDeleting, "DeletionBlocked says"},
			v1alpha1.ConditionReferenced: {"Unknown", v1alpha1.ReasonHoldersUnknown, "DeletionBlocked says why"},
		}},
		"EntryInUse": {func(cs *Conditions) {
			cs.EntryInUse(m, []v1alpha1.ArtifactStatus{{ArtifactName: "upf", ArtifactVersion: "1"}}, held)
		}, map[string]is{v1alpha1.ConditionReady: {"False", v1alpha1.ReasonEntryInUse, "upf:1 was removed from spec.artifacts"}}},
		"Untouched": {func(cs *Conditions) { cs.Untouched("it is another's") }, map[string]is{
			v1alpha1.ConditionUntagged: {"False", v1alpha1.ReasonNotOurs, "it is another's"}, v1alpha1.ConditionDeletionBlocked: {"False", v1alpha1.ReasonReleased, ""},
		}},
		"Later": {func(cs *Conditions) {
			cs.Set("Ready", "True", "A", "first")
			cs.Set("Ready", "False", "B", "line\x1b[2J\none")
		}, map[string]is{"Ready": {"False", "B", "one"}}},
	} {
		var cs Conditions
		tc.set(&cs)
		to := []metav1.Condition{{Type: "ZZ", Status: "True", Reason: "Old", ObservedGeneration: 1}}
		cs.Apply(&to, 7)
		if len(to) != len(tc.want)+1 || to[len(to)-1].Type != "ZZ" || to[len(to)-1].ObservedGeneration != 1 {
			t.Errorf("%s: %+v", name, to)
		}
		for kind, want := range tc.want {
			c := apimeta.FindStatusCondition(to, kind)
			if c == nil || c.Status != want.status || c.Reason != want.reason || !strings.Contains(c.Message, want.says) || c.ObservedGeneration != 7 || strings.ContainsAny(c.Message, "\n\x1b") {
				t.Errorf("%s: %s is %+v, want %v", name, kind, c, want)
			}
		}
	}
}

func TestEventsOfTags(t *testing.T) {
	t.Parallel()
	m := &v1alpha1.ArtifactManifest{}
	for want, tell := range map[string]func(events.EventRecorder, *v1alpha1.ArtifactManifest, string){
		"Warning " + v1alpha1.ReasonTagMoved + " 100%": TagMoved,
		"Normal " + v1alpha1.ReasonRestored + " 100%":  Restored,
		"Warning " + v1alpha1.ReasonUndoLost + " 100%": UndoLost,
	} {
		recorder := events.NewFakeRecorder(1)
		tell(recorder, m, "100%")
		if got := <-recorder.Events; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The holders of an object are known, unknown, or cannot be read
// for now, and the caller must be able to tell these apart.
func TestLiveHolders(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	for name, tc := range map[string]struct {
		list         error
		doubt, fails bool
	}{
		"NoDefinitions": {doubt: true}, // the kinds whose objects may hold it do not exist, for an unknown reason
		"Down":          {list: down, fails: true},
	} {
		c, m := cluster(t, interceptor.Funcs{List: func(ctx context.Context, api client.WithWatch, all client.ObjectList, options ...client.ListOption) error {
			if tc.list != nil {
				return tc.list
			}
			return api.List(ctx, all, options...)
		}})
		f := reference.NewFinder(c, c, time.Now)
		holders, doubt, err := LiveHolders(t.Context(), f, m)
		if holders != nil || (doubt != nil) != tc.doubt || (err != nil) != tc.fails {
			t.Errorf("%s: %v, doubt %v, error %v", name, holders, doubt, err)
		}
	}
}
