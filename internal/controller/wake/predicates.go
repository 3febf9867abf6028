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

// LifeOnly lets pass what changes who holds whom: creation, deletion, a new spec, the begin
// of a deletion, an annotation. Status writes, ours among them, do not.
func LifeOnly() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// LifeOrContent passes, besides, changes of labels and owners and, of objects without a generation such as
// RoleBindings, every change.
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

// LifeOrLoss lets pass, besides, that somebody took away what the operator had written: the finalizer, or
// the status.
func LifeOrLoss() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		if e.ObjectOld == nil || e.ObjectNew == nil {
			return false
		}
		lost := controllerutil.ContainsFinalizer(e.ObjectOld, v1alpha1.Finalizer) && !controllerutil.ContainsFinalizer(e.ObjectNew, v1alpha1.Finalizer)
		return lost || (len(v1alpha1.ConditionsOf(e.ObjectOld)) > 0 && len(v1alpha1.ConditionsOf(e.ObjectNew)) == 0)
	}})
}

// LifeOrHealth lets pass, besides, that a store became inert, or no longer is.
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

// LifeOrArtifacts lets pass, besides, what a manifest says of its artifacts and charts.
func LifeOrArtifacts() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactManifest)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactManifest)
		return ok1 && ok2 && (!equality.Semantic.DeepEqual(was.Status.Artifacts, is.Status.Artifacts) || !equality.Semantic.DeepEqual(was.Status.Charts, is.Status.Charts))
	}})
}

// LifeOrApplications lets pass, besides, what a definition says of its applications.
func LifeOrApplications() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.NetworkFunctionDefinitionVersion)
		is, ok2 := e.ObjectNew.(*v1alpha1.NetworkFunctionDefinitionVersion)
		return ok1 && ok2 && !equality.Semantic.DeepEqual(was.Status.Applications, is.Status.Applications)
	}})
}

// LifeOrPurge lets pass, besides, that a purge has ended or learnt something, such as what a collection has freed.
func LifeOrPurge() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		return ok1 && ok2 && (was.Status.Capabilities != is.Status.Capabilities || !equalRuns(was.Status.LastPurge, is.Status.LastPurge))
	}})
}

// Readability lets pass only that a source of workloads can be read, or no longer can be.
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

// LifeOrReady lets pass, besides, that a store became Ready for the first time, by which others lose.
func LifeOrReady() predicate.Predicate {
	return predicate.Or(LifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		return ok1 && ok2 && was.Settled() != is.Settled()
	}})
}

// NewAddresses lets pass only that a store's registry has other addresses.
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
