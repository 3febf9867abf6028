package wake

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// changed returns the event of a change of an object.
func changed[T client.Object](o T, change func(T)) event.UpdateEvent {
	was, _ := o.DeepCopyObject().(client.Object)
	change(o)
	return event.UpdateEvent{ObjectOld: was, ObjectNew: o}
}

// If the operator's own status write woke its controller, the passes would never end.
func TestWhatWakes(t *testing.T) {
	t.Parallel()
	store := func(change func(*v1alpha1.ArtifactStore)) event.UpdateEvent {
		s := at("ns", "acme", "https://r.example.com/acme")
		s.Generation, s.Finalizers = 1, []string{v1alpha1.Finalizer}
		s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
		return changed(s, change)
	}
	manifest := func(change func(*v1alpha1.ArtifactManifest)) event.UpdateEvent {
		return changed(&v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m", Generation: 1}}, change)
	}
	ready := func(status metav1.ConditionStatus, reason string) func(*v1alpha1.ArtifactStore) {
		return func(s *v1alpha1.ArtifactStore) {
			s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Reason: reason}}
		}
	}
	counted := func(s *v1alpha1.ArtifactStore) { s.Status.Manifests = new(int32(1)) }
	spec := func(s *v1alpha1.ArtifactStore) { s.Generation++ }
	order := func(s *v1alpha1.ArtifactStore) {
		s.Annotations = map[string]string{v1alpha1.AnnotationReconcileNow: "1"}
	}
	binding := func(version string) client.Object {
		o := &metav1.PartialObjectMetadata{}
		o.ResourceVersion = version
		return o
	}
	tests := map[string]struct {
		reason string
		of     predicate.Predicate
		change event.UpdateEvent
		want   bool
	}{
		"Life":           {"a new spec", LifeOnly(), store(spec), true},
		"LifeOrder":      {"an annotation can be an order", LifeOnly(), store(order), true},
		"LifeStatus":     {"what we write ourselves", LifeOnly(), store(counted), false},
		"ContentLabel":   {"somebody took a label away", LifeOrContent(), store(func(s *v1alpha1.ArtifactStore) { s.Labels = map[string]string{"a": "b"} }), true},
		"ContentOwner":   {"or the owner", LifeOrContent(), store(func(s *v1alpha1.ArtifactStore) { s.OwnerReferences = []metav1.OwnerReference{{Name: "x"}} }), true},
		"ContentStatus":  {"a status is not one", LifeOrContent(), store(counted), false},
		"ContentBinding": {"a RoleBinding has no generation", LifeOrContent(), event.UpdateEvent{ObjectOld: binding("1"), ObjectNew: binding("2")}, true},
		"ContentResync":  {"nothing has changed", LifeOrContent(), event.UpdateEvent{ObjectOld: binding("1"), ObjectNew: binding("1")}, false},
		"ContentNothing": {"an event without objects", LifeOrContent(), event.UpdateEvent{}, false},
		"LossFinalizer":  {"somebody removed the finalizer", LifeOrLoss(), store(func(s *v1alpha1.ArtifactStore) { s.Finalizers = nil }), true},
		"LossStatus":     {"somebody wiped the status", LifeOrLoss(), store(func(s *v1alpha1.ArtifactStore) { s.Status.Conditions = nil }), true},
		"LossNone":       {"a status write", LifeOrLoss(), store(counted), false},
		"LossNothing":    {"an event without objects", LifeOrLoss(), event.UpdateEvent{}, false},
		"Health":         {"a store became inert", LifeOrHealth(), store(ready(metav1.ConditionFalse, v1alpha1.ReasonPathConflict)), true},
		"HealthReason":   {"for another reason", LifeOrHealth(), store(ready(metav1.ConditionTrue, "Other")), true},
		"HealthSame":     {"it is as it was", LifeOrHealth(), store(counted), false},
		"HealthOther":    {"of no store", LifeOrHealth(), manifest(func(*v1alpha1.ArtifactManifest) {}), false},
		"Artifacts":      {"what a manifest's artifacts are", LifeOrArtifacts(), manifest(func(m *v1alpha1.ArtifactManifest) { m.Status.Artifacts = make([]v1alpha1.ArtifactStatus, 1) }), true},
		"Charts":         {"what its charts need", LifeOrArtifacts(), manifest(func(m *v1alpha1.ArtifactManifest) { m.Status.Charts = make([]v1alpha1.ChartStatus, 1) }), true},
		"ArtifactsNot":   {"what it says of its holders", LifeOrArtifacts(), manifest(func(m *v1alpha1.ArtifactManifest) { m.Status.DependentCount = new(int32(1)) }), false},
		"Applications": {"what a definition is deployed from", LifeOrApplications(), changed(&v1alpha1.NetworkFunctionDefinitionVersion{}, func(d *v1alpha1.NetworkFunctionDefinitionVersion) {
			d.Status.Applications = make([]v1alpha1.ApplicationStatus, 1)
		}), true},
		"ApplicationsNot": {"what it says of its holders", LifeOrApplications(), changed(&v1alpha1.NetworkFunctionDefinitionVersion{}, func(d *v1alpha1.NetworkFunctionDefinitionVersion) {
			d.Status.DependentCount = new(int32(1))
		}), false},
		"Learnt":      {"a release has learnt what the registry can do", LifeOrPurge(), store(func(s *v1alpha1.ArtifactStore) { s.Status.Capabilities.TagDelete = v1alpha1.Supported }), true},
		"Readability": {"a source of workloads cannot be read any more", Readability(), store(unreadable), true},
		"ReadAgain":   {"it was read once more", Readability(), store(func(s *v1alpha1.ArtifactStore) { s.Status.Workloads = &v1alpha1.WorkloadsStatus{} }), false},
		"ReadLife":    {"a new spec does not change what could be read", Readability(), store(spec), false},
		"Settled":     {"a store became Ready for the first time", LifeOrReady(), store(func(s *v1alpha1.ArtifactStore) { s.Status.FirstReadyTime = &metav1.Time{} }), true},
		"SettledNot":  {"it is as it was", LifeOrReady(), store(counted), false},
		"Addresses":   {"the registry has other addresses", NewAddresses(), store(func(s *v1alpha1.ArtifactStore) { s.Status.Addresses = []string{"192.0.2.1:443"} }), true},
		"AddressNot":  {"a new spec has none yet", NewAddresses(), store(spec), false},
		"State": {"a purge gives a copy back", LifeOrState(), changed(&v1alpha1.Artifact{}, func(a *v1alpha1.Artifact) {
			a.Status.State = v1alpha1.MirrorPending
		}), true},
		"StateNot": {"who uses it", LifeOrState(), changed(&v1alpha1.Artifact{}, func(a *v1alpha1.Artifact) { a.Status.UserCount = 1 }), false},
		"Unready":  {"the mirror's store is no longer Ready", LifeOrReadiness(), store(ready(metav1.ConditionFalse, "Unavailable")), true},
		"ReadyNot": {"for another reason", LifeOrReadiness(), store(ready(metav1.ConditionTrue, "Other")), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.of.Update(tc.change); got != tc.want {
				t.Errorf("%s: it wakes: %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}

func unreadable(s *v1alpha1.ArtifactStore) {
	s.Status.Workloads = &v1alpha1.WorkloadsStatus{Sources: []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsFailed, Message: "denied"}}}
}

// Predicates that are only about a change must not pass objects that are created or deleted.
func TestOnlyChangesOfAStatusWake(t *testing.T) {
	t.Parallel()
	s := at("ns", "acme", "https://r.example.com/acme")
	for name, p := range map[string]predicate.Predicate{"Readability": Readability(), "NewAddresses": NewAddresses()} {
		if p.Create(event.CreateEvent{Object: s}) || p.Delete(event.DeleteEvent{Object: s}) {
			t.Errorf("%s lets a store pass that comes or goes", name)
		}
	}
	if !LifeOnly().Create(event.CreateEvent{Object: s}) || !LifeOnly().Delete(event.DeleteEvent{Object: s}) {
		t.Error("a store that comes or goes changes who holds whom")
	}
}
