package version

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/crashtest"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
)

// world has a definition d that references the manifest m, and
// runs passes over it and over the design s that references d.
type world struct {
	*passtest.World
	t           *testing.T
	definitions *Reconciler[*v1alpha1.NetworkFunctionDefinitionVersion]
	designs     *Reconciler[*v1alpha1.NetworkServiceDesignVersion]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: passtest.NewWorld(t), t: t}
	m := lists("m", "a:1")
	m.ObjectMeta = passtest.Meta("m")
	m.Spec.ArtifactStoreRef.Name = "acme"
	status := m.Status
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: passtest.Meta("d")}
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{Name: "app"}}
	profile := &d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile
	profile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: "m"}
	profile.HelmArtifactProfile = v1alpha1.HelmArtifactProfile{HelmPackageName: "a", HelmPackageVersionRange: "1"}
	for _, o := range []client.Object{m, d} {
		if err := w.API.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	m.Status = status
	if err := w.API.Status().Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.restart()
	return w
}

// restart makes the reconcilers of a process that has just started.
func (w *world) restart() {
	w.definitions = &Reconciler[*v1alpha1.NetworkFunctionDefinitionVersion]{Client: w.API, Live: w.API, Holders: w.Finder(), Events: w.Events}
	w.designs = &Reconciler[*v1alpha1.NetworkServiceDesignVersion]{Client: w.API, Live: w.API, Holders: w.Finder(), Events: w.Events}
}

// get reads an object, and reports whether it exists.
func (w *world) get(o client.Object, name string) bool {
	w.t.Helper()
	err := w.API.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: name}, o)
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return err == nil
}

// passes runs n passes over each version that exists.
func (w *world) passes(n int) {
	w.t.Helper()
	for range n {
		d, s := &v1alpha1.NetworkFunctionDefinitionVersion{}, &v1alpha1.NetworkServiceDesignVersion{}
		if w.get(d, "d") {
			_, _ = w.definitions.Reconcile(w.t.Context(), d)
		}
		if w.get(s, "s") {
			_, _ = w.designs.Reconcile(w.t.Context(), s)
		}
		w.Later()
	}
}

// says fails the test unless a condition of a version is as wanted, as Status/Reason.
func (w *world) says(v Version, name, condition, want string) {
	w.t.Helper()
	if !w.get(v, name) {
		w.t.Errorf("%s is not there", name)
		return
	}
	c := apimeta.FindStatusCondition(v.VersionStatus().Conditions, condition)
	if c == nil || string(c.Status)+"/"+c.Reason != want {
		w.t.Errorf("%s says %+v, want %s", name, c, want)
	}
	if v.VersionStatus().ObservedGeneration != v.GetGeneration() {
		w.t.Errorf("%s was seen in generation %d", name, v.VersionStatus().ObservedGeneration)
	}
}

// design creates s, which references d.
func (w *world) design() {
	w.t.Helper()
	s := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: passtest.Meta("s")}
	s.Spec.ResourceElementTemplates = []v1alpha1.ResourceElementTemplate{{Name: "upf", Type: v1alpha1.NetworkFunctionDefinition}}
	s.Spec.ResourceElementTemplates[0].Configuration.NetworkFunctionDefinitionVersionRef = &v1alpha1.LocalReference{Name: "d"}
	if err := w.API.Create(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(o client.Object, name string) {
	w.t.Helper()
	if w.get(o, name) {
		if err := w.API.Delete(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
}

// If a process ends between any two writes of passes over versions, or any write
// fails, held versions must stay protected, and other versions must still be deleted.
func TestI1ACrashBetweenAnyTwoWritesOfVersions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason         string
		least          int
		before, begins func(w *world)
		ends           func(w *world)
	}{
		"Made": {"they are protected before it is said that all is resolved", 4, func(*world) {}, (*world).design, func(w *world) {
			w.says(&v1alpha1.NetworkFunctionDefinitionVersion{}, "d", v1alpha1.ConditionResolved, "True/Resolved")
			w.says(&v1alpha1.NetworkServiceDesignVersion{}, "s", v1alpha1.ConditionReady, "True/Ready")
		}},
		"Held": {"it waits for the design", 1, func(w *world) { w.design(); w.passes(3) }, func(w *world) {
			w.remove(&v1alpha1.NetworkFunctionDefinitionVersion{}, "d")
		}, func(w *world) {
			w.says(&v1alpha1.NetworkFunctionDefinitionVersion{}, "d", v1alpha1.ConditionDeletionBlocked, "True/InUse")
			w.says(&v1alpha1.NetworkServiceDesignVersion{}, "s", v1alpha1.ConditionResolved, "False/Terminating")
		}},
		"Deleted": {"both go, in whatever order", 3, func(w *world) { w.design(); w.passes(3) }, func(w *world) {
			w.remove(&v1alpha1.NetworkFunctionDefinitionVersion{}, "d")
			w.remove(&v1alpha1.NetworkServiceDesignVersion{}, "s")
		}, func(w *world) {
			if w.get(&v1alpha1.NetworkFunctionDefinitionVersion{}, "d") || w.get(&v1alpha1.NetworkServiceDesignVersion{}, "s") {
				w.t.Error("something is still there")
			}
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crashtest.AtEveryWrite(t, tc.least, func(t *testing.T, at int, once bool) int {
				t.Helper()
				w := newWorld(t)
				tc.before(w)
				tc.begins(w)
				w.restart()
				w.Crash.Set(at, once)
				w.passes(4)
				writes := w.Crash.Writes()
				if s := (&v1alpha1.NetworkServiceDesignVersion{}); w.get(s, "s") && !w.get(&v1alpha1.NetworkFunctionDefinitionVersion{}, "d") && s.DeletionTimestamp.IsZero() {
					t.Error("the definition has gone while a design holds it")
				}
				w.Crash.Set(-1, false)
				w.restart()
				w.passes(5)
				tc.ends(w)
				return writes
			})
		})
	}
}

// A pass over a version that its cache has from before the last status
// write must be repeated, because it cannot know what it last reported.
func TestACacheThatIsBehindIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.passes(2)
	d, m := &v1alpha1.NetworkFunctionDefinitionVersion{}, &v1alpha1.ArtifactManifest{}
	if !w.get(d, "d") || !w.get(m, "m") {
		t.Fatal("something is not there")
	}
	behind, again := d.DeepCopy(), m.DeepCopy()
	w.remove(m, "m")
	if _, err := w.definitions.Reconcile(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.says(&v1alpha1.NetworkFunctionDefinitionVersion{}, "d", v1alpha1.ConditionResolved, "False/NotFound")
	status := again.DeepCopy().Status
	again.ResourceVersion = ""
	if err := w.API.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	again.Status = status
	if err := w.API.Status().Update(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	result, err := w.definitions.Reconcile(t.Context(), behind)
	if err != nil || result.RequeueAfter == 0 || result.RequeueAfter > time.Second {
		t.Errorf("a pass over what is not a more comes again after %s, %v", result.RequeueAfter, err)
	}
}

// The API server does not have a kind whose objects may hold the definition. Its status
// must not say that nothing holds it, and is not written again while nothing changes.
func TestI2AVersionDoesNotSayThatNothingHoldsItWhileThatIsUnknown(t *testing.T) {
	t.Parallel()
	for name, recorded := range map[string][]v1alpha1.Dependent{
		"NothingRecorded": nil,
		"DesignRecorded":  {{Kind: v1alpha1.KindDesign, Namespace: "ns", Name: "s"}},
	} {
		w := newWorld(t)
		d := &v1alpha1.NetworkFunctionDefinitionVersion{}
		w.passes(1)
		w.get(d, "d")
		d.Status.Dependents = v1alpha1.Dependents{Dependents: recorded, DependentCount: new(int32(len(recorded)))}
		if err := w.API.Status().Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if err := w.API.Delete(t.Context(), referencetest.Definition(v1alpha1.KindDesign, time.Time{})); err != nil {
			t.Fatal(err)
		}
		w.remove(d, "d")
		w.passes(1)
		w.says(d, "d", v1alpha1.ConditionDeletionBlocked, "True/"+v1alpha1.ReasonHoldersUnknown)
		w.says(d, "d", v1alpha1.ConditionReferenced, "Unknown/"+v1alpha1.ReasonHoldersUnknown)
		if n := d.Status.DependentCount; len(d.Status.Dependents.Dependents) != len(recorded) || n != nil && *n == 0 {
			t.Errorf("%s: the dependents are %+v", name, d.Status.Dependents)
		}
		before := d.ResourceVersion
		w.passes(2)
		if w.get(d, "d"); d.ResourceVersion != before {
			t.Errorf("%s: a pass that has nothing new wrote the status", name)
		}
	}
}
