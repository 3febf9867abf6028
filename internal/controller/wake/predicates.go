package wake

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// LifeOnly passes events that can change which objects hold which: creation, deletion, a new spec, the
// start of a deletion, and changed annotations. Status writes, including the operator's own, do not pass.
func LifeOnly() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// LifeOrContent passes what LifeOnly passes, and changes of labels and owners.
// Of objects without a generation, such as RoleBindings, it passes every change.
func LifeOrContent() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		if e.ObjectOld == nil || e.ObjectNew == nil {
			return false
		}
		if e.ObjectNew.GetGeneration() == 0 {
			return e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion()
		}
		return !equality.Semantic.DeepEqual(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels()) ||
			!equality.Semantic.DeepEqual(e.ObjectOld.GetOwnerReferences(), e.ObjectNew.GetOwnerReferences())
	}})
}

// LifeOrLoss passes what LifeOnly passes, and updates by which somebody removed the operator's finalizer or the status.
func LifeOrLoss() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		if e.ObjectOld == nil || e.ObjectNew == nil {
			return false
		}
		lost := controllerutil.ContainsFinalizer(e.ObjectOld, v1alpha1.Finalizer) && !controllerutil.ContainsFinalizer(e.ObjectNew, v1alpha1.Finalizer)
		return lost || (len(v1alpha1.ConditionsOf(e.ObjectOld)) > 0 && len(v1alpha1.ConditionsOf(e.ObjectNew)) == 0)
	}})
}

// LifeOrHealth passes what LifeOnly passes, and updates by which the status or
// reason of a store's condition Ready changed, such as when the store became inert.
func LifeOrHealth() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		if !ok1 || !ok2 {
			return false
		}
		a, b := readiness(was), readiness(is)
		return a.Status != b.Status || a.Reason != b.Reason
	}})
}

// LifeOrArtifacts passes what LifeOnly passes, and changes of the artifacts and charts in a manifest's status.
func LifeOrArtifacts() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactManifest)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactManifest)
		return ok1 && ok2 && (!equality.Semantic.DeepEqual(was.Status.Artifacts, is.Status.Artifacts) || !equality.Semantic.DeepEqual(was.Status.Charts, is.Status.Charts))
	}})
}

// LifeOrApplications passes what LifeOnly passes, and changes of the applications in a definition's status.
func LifeOrApplications() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.NetworkFunctionDefinitionVersion)
		is, ok2 := e.ObjectNew.(*v1alpha1.NetworkFunctionDefinitionVersion)
		return ok1 && ok2 && !equality.Semantic.DeepEqual(was.Status.Applications, is.Status.Applications)
	}})
}

// LifeOrPurge passes what LifeOnly passes, and updates by which a purge has
// recorded its end, or a later finding such as what a collection has freed.
func LifeOrPurge() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		return ok1 && ok2 && (was.Status.Capabilities != is.Status.Capabilities || !equalRuns(was.Status.LastPurge, is.Status.LastPurge))
	}})
}

// Readability passes only updates that change which sources of workloads cannot be read.
func Readability() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
			is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
			return ok1 && ok2 && was.Status.Workloads.Unreadable() != is.Status.Workloads.Unreadable()
		},
	}
}

// LifeOrReady passes what LifeOnly passes, and updates by which a store
// became Ready for the first time, because other stores then lose the place.
func LifeOrReady() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		return ok1 && ok2 && was.Settled() != is.Settled()
	}})
}

// NewAddresses passes only changes of the addresses of a store's registry.
func NewAddresses() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
			is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
			return ok1 && ok2 && !slices.Equal(was.Status.Addresses, is.Status.Addresses)
		},
	}
}

func equalRuns(a, b *v1alpha1.PurgeRun) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.CompletionTime.Equal(&b.CompletionTime) && a.Outcome == b.Outcome && a.Message == b.Message && ptr.Equal(a.FreedBytes, b.FreedBytes)
}

func readiness(s *v1alpha1.ArtifactStore) metav1.Condition {
	if c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{}
}
