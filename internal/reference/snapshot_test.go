package reference

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
)

func names(holders []Holder) (all []string) {
	for _, h := range holders {
		all = append(all, h.Name)
	}
	return all
}

// A snapshot, its Naming, the cache and a live list agree on what holds a manifest, in the old form and the new.
func TestAllAgreeOnHolders(t *testing.T) {
	t.Parallel()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(manifest("m", "chart"), manifest("m2", "chart"),
		definition("a", byManifest("m"), "chart"), definition("b", byStore("acme"), "chart"), design("d", byManifest("m"), "x", "a"))
	if err := Index(t.Context(), referencetest.Indexer{To: b}); err != nil {
		t.Fatal(err)
	}
	c := b.Build()
	s, err := Read(t.Context(), c, manifest("m").Namespace)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Manifests(); len(got) != 2 {
		t.Errorf("the snapshot has %d manifests, want 2", len(got))
	}
	n := s.Naming()
	for _, subject := range []client.Object{manifest("m", "chart"), manifest("m2", "chart"), definition("a", byManifest("m"), "chart"), design("d", byManifest("m"), "x", "a")} {
		want := names(s.Holders(subject))
		cached, err := NewFinder(c, c, time.Now).Cached(t.Context(), subject)
		if diff := cmp.Diff(want, names(cached)); diff != "" || err != nil {
			t.Errorf("%s: the cache has others than the snapshot: %v\n%s", subject.GetName(), err, diff)
		}
		if diff := cmp.Diff(want, names(n.Holders(subject))); diff != "" {
			t.Errorf("%s: the naming has others than the snapshot:\n%s", subject.GetName(), diff)
		}
	}
	if got := names(s.Holders(manifest("m", "chart"))); !slices.Equal(got, []string{"a", "b", "d"}) {
		t.Errorf("m is held by %v, want a, b and d", got)
	}
}

// Snapshots keep the fields that decisions depend on, and drop the others.
func TestSnapshotsKeepWhatCounts(t *testing.T) {
	t.Parallel()
	m := manifest("m", "chart", "chart")
	m.Status.Conditions = []metav1.Condition{{Type: "Ready"}}
	m.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "chart", Repository: "acme/chart", Digest: "sha256:1", MediaType: "x/y", ConfigMediaType: "y/z"}}
	d := definition("a", byManifest("m"), "chart")
	d.Status.Conditions = m.Status.Conditions
	d.Status.Applications = []v1alpha1.ApplicationStatus{{Name: "app", Digest: "sha256:2"}}
	for _, keep := range []func(client.Object){keepOnly, holdOnly} {
		before, held := Keys(d), d.DeepCopy()
		keep(held)
		if len(held.Status.Conditions) > 0 || !slices.Equal(Keys(held), before) || len(Pins(held)) != len(Pins(d)) {
			t.Errorf("of a definition %+v is kept", held.Status)
		}
	}
	kept := m.DeepCopy()
	if keepOnly(kept); len(kept.Status.Conditions) > 0 || kept.Status.Artifacts[0].Digest != "sha256:1" || kept.Status.Artifacts[0].Repository != "acme/chart" || kept.Status.Artifacts[0].MediaType != "" || len(kept.Spec.Artifacts) != 2 {
		t.Errorf("of a manifest %+v is kept", kept)
	}
	held := m.DeepCopy()
	if holdOnly(held); len(held.Spec.Artifacts) > 0 || !slices.Equal(Keys(held), Keys(m)) {
		t.Errorf("of what holds a store %+v is kept", held.Spec)
	}
	for _, o := range []client.Object{design("d", byManifest("m"), "x", "a"), &v1alpha1.SiteNetworkService{}} {
		before := Keys(o)
		if holdOnly(o); !slices.Equal(Keys(o), before) {
			t.Errorf("%T: it holds %v, want %v", o, Keys(o), before)
		}
	}
}

// Known holders are read again by name, and only those that still hold the subject are returned.
func TestStill(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	c := reader(t, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if k.Name == "down" {
			return down
		}
		return c.Get(ctx, k, o, opts...)
	}}, definition("a", byManifest("m"), "chart"), definition("moved", byManifest("m2"), "chart"))
	f := NewFinder(c, c, time.Now)
	of := func(kind, name string) Holder { return Holder{Object: Object{kind, manifest("m").Namespace, name}} }
	still, err := f.Still(t.Context(), manifest("m", "chart"), []Holder{of(v1alpha1.KindDefinition, "gone"), of("Pod", "upf-0"), of(v1alpha1.KindDefinition, "a"), of(v1alpha1.KindDefinition, "moved")})
	if err != nil || !slices.Equal(names(still), []string{"a"}) {
		t.Errorf("still holding are %v, %v", names(still), err)
	}
	if _, err := f.Still(t.Context(), manifest("m"), []Holder{of(v1alpha1.KindDefinition, "down")}); !errors.Is(err, down) {
		t.Errorf("one that cannot be read: %v", err)
	}
	if _, err := f.Confirm(t.Context(), manifest("m"), []Holder{of(v1alpha1.KindDefinition, "down")}); !errors.Is(err, down) {
		t.Errorf("nor confirmed: %v", err)
	}
}

// An object that is being deleted with its whole kind has no holders and no doubt.
func TestAKindThatGoesHoldsNothingUp(t *testing.T) {
	t.Parallel()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(DefinitionKind)
	crd.SetName(definitionName(v1alpha1.KindArtifactManifest))
	crd.SetFinalizers([]string{"customresourcecleanup.apiextensions.k8s.io"})
	c := reader(t, interceptor.Funcs{}, definition("a", byManifest("m"), "chart"))
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Fatal(err)
	}
	crd.SetFinalizers([]string{"customresourcecleanup.apiextensions.k8s.io"})
	m := manifest("m", "chart")
	m.UID, m.DeletionTimestamp = "u", new(metav1.NewTime(made.Add(time.Hour)))
	f := NewFinder(c, c, func() time.Time { return made.Add(48 * time.Hour) })
	if holders, err := f.Cached(t.Context(), m); err != nil || len(holders) != 1 {
		t.Errorf("while the kind stays: %v, %v", names(holders), err)
	}
	if err := f.Doubt(t.Context(), m); err != nil {
		t.Errorf("while the kind stays it is known what holds it: %v", err)
	}
	if err := errors.Join(c.Update(t.Context(), crd), c.Delete(t.Context(), crd)); err != nil {
		t.Fatal(err)
	}
	if holders, err := f.Cached(t.Context(), m); err != nil || holders != nil {
		t.Errorf("the kind goes: %v, %v", names(holders), err)
	}
	if found, err := f.Live(t.Context(), m); err != nil || !found.KindGoing || found.Holders != nil {
		t.Errorf("the kind goes: %+v, %v", found, err)
	}
	if err := f.Doubt(t.Context(), m); err != nil {
		t.Errorf("the kind goes: %v", err)
	}
}

// A holder that was seen and no longer exists was deleted. A holder that was never seen may have been lost with its kind.
func TestI2AHolderThatWasMetIsNotLost(t *testing.T) {
	t.Parallel()
	c := reader(t, interceptor.Funcs{}, func() client.Object {
		d := definition("a", byManifest("m"), "chart")
		d.CreationTimestamp = metav1.NewTime(made.Add(time.Minute))
		return d
	}())
	m := manifest("m", "chart")
	m.UID, m.CreationTimestamp, m.DeletionTimestamp = "u", metav1.NewTime(made.Add(-time.Hour)), new(metav1.NewTime(made))
	f := NewFinder(c, c, func() time.Time { return made.Add(2 * time.Minute) })
	if err := f.Doubt(t.Context(), m); !errors.Is(err, ErrHoldersUnknown) {
		t.Errorf("before any was met: %v, want %v", err, ErrHoldersUnknown)
	}
	if _, err := f.Cached(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if met := f.met["u"][v1alpha1.KindDefinition]; !met.Equal(made.Add(time.Minute)) {
		t.Errorf("met is one of %s", met)
	}
	if f.Forget("u"); len(f.met) > 0 {
		t.Error("what has gone is remembered")
	}
	if !NeverMet(v1alpha1.KindDefinition).IsZero() {
		t.Error("somebody has watched")
	}
}

func TestKindOfADefinition(t *testing.T) {
	t.Parallel()
	for _, kind := range v1alpha1.Kinds() {
		if got := KindOf(definitionName(kind)); got != kind {
			t.Errorf("%s defines %q, want %s", definitionName(kind), got, kind)
		}
	}
	if got := KindOf("pods.example.com"); got != "" {
		t.Errorf("a definition of somebody else defines %q", got)
	}
}

// The workloads in a manifest's status hold the artifacts that the status lists for them.
func TestRecordedAreWorkloads(t *testing.T) {
	t.Parallel()
	m := manifest("m", "chart")
	m.Status.Dependents.Dependents = []v1alpha1.Dependent{
		{Kind: "Pod", Namespace: "core", Name: "upf-0", Artifacts: []string{"upf:1", "upf:2"}}, {Kind: "Pod", Namespace: "core", Name: "idle"},
		{Kind: v1alpha1.KindDefinition, Namespace: "p", Name: "d", Artifacts: []string{"upf:1"}},
	}
	all := Recorded(m)
	if len(all) != 1 || all[0].Name != "upf-0" || !all[0].Runs() || len(all[0].References) != 2 || all[0].References[1].Version != "2" {
		t.Errorf("recorded are %+v", all)
	}
	if got := Refusal(Self(m), all); !strings.Contains(got, "upf-0") {
		t.Errorf("the refusal is %q", got)
	}
}

func TestWatchedNamespaces(t *testing.T) {
	t.Parallel()
	if !(Watched{}).Has("any") || !(Watched{"a"}).Has("a") || (Watched{"a"}).Has("b") {
		t.Error("the operator acts elsewhere than it should")
	}
}
