package artifact

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/mirrored"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/internal/workload"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

var needNow = metav1.NewTime(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC))

func needMirror(change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "nfo-system", Name: v1alpha1.MirrorName, UID: "mirror"}}
	s.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{Prefix: v1alpha1.MirrorPrefix}
	s.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorAll, PullAddress: "127.0.0.1:7439"}
	for _, c := range change {
		c(s)
	}
	return s
}

func needArtifact(source string, change ...func(*v1alpha1.Artifact)) v1alpha1.Artifact {
	a := v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: v1alpha1.ArtifactName(source)}, Spec: v1alpha1.ArtifactSpec{SourceArtifact: source}}
	for _, c := range change {
		c(&a)
	}
	return a
}

func usedBy(name, repository, tag, digest string) workload.Use {
	return workload.Use{Holder: reference.Object{Kind: "Deployment", Namespace: "ran", Name: name}, Part: "container web", Repository: repository, Tag: tag, Digest: digest}
}

func needReading(uses ...workload.Use) *workload.Reading {
	all := map[workload.Use]bool{}
	for _, u := range uses {
		all[u] = true
	}
	return workload.NewReading(needNow.Time, all)
}

// claim returns the condition of an Artifact that a purge claimed some minutes ago.
func claim(minutes int) []metav1.Condition {
	return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonReleasing, LastTransitionTime: metav1.NewTime(needNow.Add(-time.Duration(minutes) * time.Minute))}}
}

func claimed(minutes int) func(*v1alpha1.Artifact) {
	return func(a *v1alpha1.Artifact) {
		a.Status.State, a.Status.Conditions = v1alpha1.MirrorReleasing, claim(minutes)
	}
}

func TestWhoUsesAnArtifact(t *testing.T) {
	t.Parallel()
	const source = "r.example/acme/upf:1"
	earlier, old := metav1.NewTime(needNow.Add(-30*time.Minute)), metav1.NewTime(needNow.Add(-2*time.Hour))
	upf := v1alpha1.ArtifactUser{Kind: "Deployment", Name: "upf", Detail: "container web"}
	use := usedBy("upf", "r.example/acme/upf", "1", "")
	tests := map[string]struct {
		reason   string
		artifact v1alpha1.Artifact
		uses     []workload.Use
		unread   bool
		want     *v1alpha1.MirrorStatus // nil: nothing is written
	}{
		"Used":   {"by its tag", needArtifact(source), []workload.Use{use}, false, &v1alpha1.MirrorStatus{Users: []v1alpha1.ArtifactUser{upf}, UserCount: 1, UsersReadAt: &needNow}},
		"Digest": {"by the digest that was copied", needArtifact(source, func(a *v1alpha1.Artifact) { a.Status.Digest = digestA }), []workload.Use{usedBy("upf", "r.example/acme/upf", "", digestA)}, false, &v1alpha1.MirrorStatus{Digest: digestA, Users: []v1alpha1.ArtifactUser{upf}, UserCount: 1, UsersReadAt: &needNow}},
		"Pinned": {"a tag beside a digest is for people", needArtifact("r.example/acme/upf:1@" + digestA), []workload.Use{use}, false, &v1alpha1.MirrorStatus{UnusedSince: &needNow, UsersReadAt: &needNow}},
		"Unused": {"begins now", needArtifact(source), nil, false, &v1alpha1.MirrorStatus{UnusedSince: &needNow, UsersReadAt: &needNow}},
		"Still":  {"keeps its beginning, and costs no write", needArtifact(source, func(a *v1alpha1.Artifact) { a.Status.UnusedSince, a.Status.UsersReadAt = &earlier, &earlier }), nil, false, nil},
		"StillForLong": {"it is said once an hour that it was read", needArtifact(source, func(a *v1alpha1.Artifact) { a.Status.UnusedSince, a.Status.UsersReadAt = &old, &old }), nil, false,
			&v1alpha1.MirrorStatus{UnusedSince: &old, UsersReadAt: &needNow}},
		"Again":        {"a use ends it", needArtifact(source, func(a *v1alpha1.Artifact) { a.Status.UnusedSince, a.Status.UsersReadAt = &earlier, &earlier }), []workload.Use{use}, false, &v1alpha1.MirrorStatus{Users: []v1alpha1.ArtifactUser{upf}, UserCount: 1, UsersReadAt: &needNow}},
		"Claimed":      {"a purge that lives gives it back itself", needArtifact(source, claimed(5)), []workload.Use{use}, false, &v1alpha1.MirrorStatus{State: v1alpha1.MirrorReleasing, Conditions: claim(5), Users: []v1alpha1.ArtifactUser{upf}, UserCount: 1, UsersReadAt: &needNow}},
		"Stuck":        {"a purge that died gives nothing back", needArtifact(source, claimed(20)), []workload.Use{use}, false, &v1alpha1.MirrorStatus{State: v1alpha1.MirrorPending, Users: []v1alpha1.ArtifactUser{upf}, UserCount: 1, UsersReadAt: &needNow}},
		"StuckUnused":  {"the next purge goes on with it", needArtifact(source, claimed(20)), nil, false, &v1alpha1.MirrorStatus{State: v1alpha1.MirrorReleasing, Conditions: claim(20), UnusedSince: &needNow, UsersReadAt: &needNow}},
		"I2Unread":     {"what could not be read may use it", needArtifact(source), nil, true, nil},
		"I2UnreadUsed": {"a use is one, whatever else could not be read", needArtifact(source, func(a *v1alpha1.Artifact) { a.Status.UnusedSince = &old }), []workload.Use{use}, true, &v1alpha1.MirrorStatus{Users: []v1alpha1.ArtifactUser{upf}, UserCount: 1}},
		"Ending":       {"objects of a namespace that is being deleted go in any order", needArtifact(source, func(a *v1alpha1.Artifact) { a.Namespace = "ending" }), nil, false, nil},
		"Elsewhere":    {"the manager does not act there", needArtifact(source, func(a *v1alpha1.Artifact) { a.Namespace = "unwatched" }), nil, false, nil},
		"NoImage":      {"nobody can use it", needArtifact("UPF"), nil, false, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := need{rules: rewrite.NewRules(needMirror(), nil), watched: reference.Watched{"ran", "ending"}, namespaces: map[string]namespace{"ran": {}, "ending": {ending: true}, "unwatched": {}}, whole: !tc.unread, now: needNow}
			n.plan([]v1alpha1.Artifact{tc.artifact}, needReading(tc.uses...).ByNamespace())
			switch {
			case tc.want == nil && len(n.used) > 0:
				t.Errorf("%s: written is %+v", tc.reason, n.used[0].is.Status)
			case tc.want != nil && len(n.used) != 1:
				t.Errorf("%s: nothing is written", tc.reason)
			case tc.want != nil:
				if diff := cmp.Diff(*tc.want, n.used[0].is.Status, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: -want +got\n%s", tc.reason, diff)
				}
			}
		})
	}
}

func TestUsersAreCountedAndTheFirstNamed(t *testing.T) {
	t.Parallel()
	var uses []workload.Use
	for i := range 20 {
		for _, part := range []string{"container a", "container b"} {
			u := usedBy(fmt.Sprintf("upf-%02d", i), "r.example/acme/upf", "1", "")
			u.Part = part
			uses = append(uses, u)
		}
	}
	image, err := rewrite.Parse("r.example/acme/upf:1")
	if err != nil {
		t.Fatal(err)
	}
	users, count := usersOf(needReading(uses...).Of(image.Path(), image.Tag))
	if count != 20 || len(users) != maxUsers || users[0] != (v1alpha1.ArtifactUser{Kind: "Deployment", Name: "upf-00", Detail: "container a"}) || users[15].Name != "upf-15" {
		t.Errorf("there are %d users, %v", count, users)
	}
}

func TestWhichArtifactsAreMissing(t *testing.T) {
	t.Parallel()
	seen := usedBy("upf", "r.example/acme/upf", "", digestB)
	seen.Seen = true
	system := usedBy("manager", "r.example/acme/nfo", "1", "")
	system.Holder.Namespace = "nfo-system"
	unselected := usedBy("x", "r.example/acme/upf", "1", "")
	unselected.Holder.Namespace = "unselected"
	all := []workload.Use{
		usedBy("upf", "r.example/acme/upf", "1", ""), usedBy("upf2", "r.example/acme/upf", "1", ""), usedBy("smf", "r.example/acme/smf", "1", digestA),
		usedBy("amf", "r.example/acme/amf", "1", ""), usedBy("own", "ghcr.io/nfo-operator/nfo", "1", ""), seen, system, unselected,
	}
	n := need{
		rules: rewrite.NewRules(needMirror(func(s *v1alpha1.ArtifactStore) {
			s.Spec.Mirror.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"mirror": "yes"}}
		}), nil).Without("ghcr.io/nfo-operator/nfo:1"),
		namespaces: map[string]namespace{"ran": {labels: map[string]string{"mirror": "yes"}}, "nfo-system": {labels: map[string]string{"mirror": "yes"}}, "unselected": {}}, whole: true, now: needNow,
	}
	n.plan([]v1alpha1.Artifact{needArtifact("r.example/acme/amf:1")}, needReading(all...).ByNamespace())
	got := map[string][]string{}
	for ns, images := range n.missing {
		for _, i := range images {
			got[ns] = append(got[ns], i.String())
		}
	}
	if diff := cmp.Diff(map[string][]string{"ran": {"r.example/acme/smf:1@" + digestA, "r.example/acme/upf:1"}}, got); diff != "" {
		t.Errorf("each image that a selected namespace names, once: -want +got\n%s", diff)
	}
}

func TestANamespaceHasABoundedNumberOfArtifacts(t *testing.T) {
	t.Parallel()
	var uses []workload.Use
	for i := range maxNeeded + 5 {
		uses = append(uses, usedBy("upf", "r.example/acme/upf", fmt.Sprint(i), ""))
	}
	n := need{rules: rewrite.NewRules(needMirror(), nil), namespaces: map[string]namespace{"ran": {}}, whole: true, now: needNow}
	n.plan([]v1alpha1.Artifact{needArtifact("r.example/acme/amf:1")}, needReading(uses...).ByNamespace())
	if len(n.missing["ran"]) != maxNeeded-1 || n.dropped["ran"] != 6 {
		t.Errorf("%d are to be made and %d are not", len(n.missing["ran"]), n.dropped["ran"])
	}
}

// needWorld is a NeedReconciler with a fake API server.
type needWorld struct {
	*NeedReconciler
	clock   *clocktesting.FakePassiveClock
	reading *workload.Reading
	reads   int
	creates []string
	refuse  string        // a namespace in which nothing can be created
	writing time.Duration // how long it takes to write the status of an Artifact
	// unwritable is true if no status of an Artifact can be written.
	unwritable bool
}

func newNeedWorld(t *testing.T, objects ...client.Object) *needWorld {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	w := &needWorld{clock: clocktesting.NewFakePassiveClock(needNow.Time), reading: needReading()}
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ran"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.ArtifactStore{}, &v1alpha1.Artifact{}).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if o.GetNamespace() == w.refuse {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "artifacts"}, o.GetName(), fmt.Errorf("exceeded quota"))
			}
			w.creates = append(w.creates, o.GetNamespace())
			return c.Create(ctx, o, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			if _, ok := o.(*v1alpha1.Artifact); ok {
				if w.unwritable {
					return errors.New("a webhook refuses it")
				}
				w.clock.SetTime(w.clock.Now().Add(w.writing))
			}
			return c.SubResource(sub).Patch(ctx, o, patch, opts...)
		},
	}).Build()
	w.NeedReconciler = &NeedReconciler{
		Client: api, Live: api, Mirror: client.ObjectKey{Namespace: "nfo-system", Name: v1alpha1.MirrorName}, Clock: w.clock, Now: w.clock.Now,
		Rules: (&mirrored.Facts{Cached: api, Namespace: "nfo-system"}).Rules,
		Images: func(context.Context, *v1alpha1.ArtifactStore, workload.Find) (*workload.Reading, error) {
			w.reads++
			return w.reading, nil
		},
	}
	return w
}

func (w *needWorld) reconcile(t *testing.T) time.Duration {
	t.Helper()
	var s v1alpha1.ArtifactStore
	if err := w.Get(t.Context(), w.Mirror, &s); err != nil {
		t.Fatal(err)
	}
	result, err := w.Reconcile(t.Context(), &s)
	if err != nil {
		t.Fatal(err)
	}
	return result.RequeueAfter
}

func TestNeedIsBackFilledAndRead(t *testing.T) {
	t.Parallel()
	w := newNeedWorld(t, needMirror())
	elsewhere := usedBy("x", "r.example/acme/upf", "1", "")
	elsewhere.Holder.Namespace = "other"
	w.reading = needReading(usedBy("upf", "r.example/acme/upf", "1", ""), usedBy("upf", "r.example/acme/upf", "2", ""), elsewhere)
	w.reading.Sources = []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsRead}}
	if wait := w.reconcile(t); wait != needWell {
		t.Errorf("it is read again in %s", wait)
	}
	if diff := cmp.Diff([]string{"other", "ran", "ran"}, w.creates); diff != "" {
		t.Errorf("one of each namespace after the other: -want +got\n%s", diff)
	}
	if wait := w.reconcile(t); wait != needApart || w.reads != 1 {
		t.Errorf("a change right after it waits %s, after %d readings", wait, w.reads)
	}
	var a v1alpha1.Artifact
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: "ran", Name: v1alpha1.ArtifactName("r.example/acme/upf:1")}, &a); err != nil || a.Status.UserCount != 1 || a.Spec.SourceArtifact != "r.example/acme/upf:1" || len(w.creates) != 3 {
		t.Errorf("the Artifact is %+v, %v, and made were %v", a, err, w.creates)
	}
	w.clock.SetTime(needNow.Add(needWell))
	w.reconcile(t)
	var s v1alpha1.ArtifactStore
	if err := w.Get(t.Context(), w.Mirror, &s); err != nil || s.Status.Workloads == nil || len(s.Status.Workloads.Sources) != 1 || s.Status.Artifacts == nil || s.Status.Artifacts.Total != 3 {
		t.Errorf("the store's status is %+v, %v", s.Status, err)
	}
}

// Statuses are written slowly. However many Artifacts a namespace
// has, the needs of other namespaces must be read soon after.
func TestManyArtifactsOfOneNamespaceKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	objects := []client.Object{needMirror()}
	for i := range needPerSecond {
		objects = append(objects, new(needArtifact(fmt.Sprintf("r.example/acme/upf:%d", i))))
	}
	w := newNeedWorld(t, objects...)
	w.writing = 30 * time.Second
	w.reconcile(t)
	if took := w.clock.Now().Sub(needNow.Time); took != needPerSecond*w.writing {
		t.Fatalf("writing took %s", took)
	}
	elsewhere := usedBy("x", "r.example/acme/amf", "1", "")
	elsewhere.Holder.Namespace = "other"
	w.reading = needReading(elsewhere)
	w.clock.SetTime(w.clock.Now().Add(needApart))
	if wait := w.reconcile(t); w.reads != 2 || len(w.creates) != 1 {
		t.Errorf("it is read again in %s, after %d readings, and made were %v", wait, w.reads, w.creates)
	}
}

// A namespace in which nothing can be created must not delay others,
// and must not cause one reading of the cluster after another.
func TestNeedOfOneNamespaceFails(t *testing.T) {
	t.Parallel()
	w := newNeedWorld(t, needMirror())
	w.refuse = "other"
	elsewhere := usedBy("x", "r.example/acme/upf", "1", "")
	elsewhere.Holder.Namespace = "other"
	w.reading = needReading(usedBy("upf", "r.example/acme/upf", "1", ""), elsewhere)
	if wait := w.reconcile(t); wait != needFailed || len(w.creates) != 1 || w.creates[0] != "ran" {
		t.Errorf("it is read again in %s, made were %v", wait, w.creates)
	}
}

// denied returns a reading from a moment ago in which a source
// was denied, after its last successful reading some time before.
func denied(since time.Duration) *v1alpha1.WorkloadsStatus {
	return &v1alpha1.WorkloadsStatus{ObservedAt: needNow, Sources: []v1alpha1.WorkloadSourceStatus{
		{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsDenied, Since: needNow, ReadAt: new(metav1.NewTime(needNow.Add(-since)))},
	}}
}

// While workloads are not read, an image may have been used until a moment ago, so its grace period must begin again.
func TestI2AGraceBeginsAnewAfterHoursInWhichNobodyLooked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		read *v1alpha1.WorkloadsStatus
		anew bool
	}{
		"Lately":        {read: &v1alpha1.WorkloadsStatus{ObservedAt: metav1.NewTime(needNow.Add(-time.Hour))}},
		"Before":        {read: &v1alpha1.WorkloadsStatus{ObservedAt: metav1.NewTime(needNow.Add(-3 * time.Hour))}, anew: true},
		"Never":         {anew: true},
		"Denied":        {read: denied(3 * time.Hour), anew: true},
		"Lately denied": {read: denied(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			since := metav1.NewTime(needNow.Add(-48 * time.Hour))
			a := needArtifact("r.example/acme/upf:1", func(a *v1alpha1.Artifact) { a.Status.UnusedSince = &since })
			w := newNeedWorld(t, needMirror(func(s *v1alpha1.ArtifactStore) { s.Status.Workloads = tc.read }), &a)
			w.reconcile(t)
			if err := w.Get(t.Context(), client.ObjectKeyFromObject(&a), &a); err != nil || a.Status.UnusedSince.After(since.Time) != tc.anew {
				t.Errorf("unused since %s, %v", a.Status.UnusedSince, err)
			}
			var s v1alpha1.ArtifactStore
			if err := w.Get(t.Context(), w.Mirror, &s); err != nil || s.Status.Workloads.Lapsed(needNow.Time) {
				t.Errorf("what was read is recorded as %+v, %v", s.Status.Workloads, err)
			}
		})
	}
}

// If statuses cannot be written, graces must not continue as if workloads
// had been read. If a ResourceQuota refuses to create Artifacts, they must.
func TestI2AGraceThatCannotBeginAnewStaysEnded(t *testing.T) {
	t.Parallel()
	old := metav1.NewTime(needNow.Add(-48 * time.Hour))
	a := needArtifact("r.example/acme/upf:1", func(a *v1alpha1.Artifact) { a.Status.UnusedSince = &old })
	w := newNeedWorld(t, needMirror(), &a)
	w.refuse = "ran"
	w.reading = needReading(usedBy("amf", "r.example/acme/amf", "1", ""))
	lapsed := func(when string, want bool) {
		t.Helper()
		var s v1alpha1.ArtifactStore
		if err := w.Get(t.Context(), w.Mirror, &s); err != nil || s.Status.Workloads.Lapsed(needNow.Time) != want {
			t.Errorf("%s somebody has looked: %+v, %v", when, s.Status.Workloads, err)
		}
	}
	w.unwritable = true
	w.reconcile(t)
	lapsed("without having written", true)
	w.unwritable = false
	w.clock.SetTime(needNow.Add(needFailed))
	w.reconcile(t)
	lapsed("after having written", false)
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(&a), &a); err != nil || !a.Status.UnusedSince.After(old.Time) {
		t.Errorf("unused since %s, %v", a.Status.UnusedSince, err)
	}
}

func TestI2NothingIsUnusedWhileASourceIsNotRead(t *testing.T) {
	t.Parallel()
	a := needArtifact("r.example/acme/upf:1")
	w := newNeedWorld(t, needMirror(), &a)
	w.reading.Sources = []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsDenied, Message: "no"}}
	if wait := w.reconcile(t); wait != needFailed {
		t.Errorf("it is read again in %s", wait)
	}
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(&a), &a); err != nil || a.Status.UnusedSince != nil {
		t.Errorf("the status is %+v, %v", a.Status, err)
	}
}

func TestNoNeedWithoutAMirror(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1alpha1.ArtifactStore){
		"NoMirror":  func(s *v1alpha1.ArtifactStore) { s.Spec.Mirror = nil },
		"Elsewhere": func(s *v1alpha1.ArtifactStore) { s.Namespace = "ran" },
		"Ending": func(s *v1alpha1.ArtifactStore) {
			s.DeletionTimestamp, s.Finalizers = &needNow, []string{v1alpha1.Finalizer}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNeedWorld(t)
			if result, err := w.Reconcile(t.Context(), needMirror(change)); err != nil || result.RequeueAfter != 0 || w.reads != 0 {
				t.Errorf("the result is %v, %v after %d readings", result, err, w.reads)
			}
		})
	}
}

// An alert counts failed Artifacts. An image that the mirror does not copy has not failed.
func TestWhatIsNotMirroredHasNotFailed(t *testing.T) {
	t.Parallel()
	of := func(state v1alpha1.MirrorState, reason string) v1alpha1.Artifact {
		a := v1alpha1.Artifact{}
		a.Status.State = state
		a.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason}}
		return a
	}
	was := v1alpha1.Artifact{}
	was.Status.State = v1alpha1.MirrorFailed
	got := counts([]v1alpha1.Artifact{
		of(v1alpha1.MirrorPresent, v1alpha1.ReasonPresent), of(v1alpha1.MirrorFailed, v1alpha1.ReasonDenied), of(v1alpha1.MirrorFailed, v1alpha1.ReasonNotMirrored), was,
	})
	if diff := cmp.Diff(&v1alpha1.ArtifactCounts{Total: 4, Present: 1, Failed: 2}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
