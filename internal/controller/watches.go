package controller

import (
	"context"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/reference"
)

// tombstoneByManifest is the field index of tombstones by the manifest that they are of.
const tombstoneByManifest = "spec.manifest.name"

// index tells the cache what the controllers look up.
func index(ctx context.Context, indexer client.FieldIndexer) error {
	if err := reference.Index(ctx, indexer); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.ArtifactManifest{}, imagesElsewhere, wantsElsewhere); err != nil {
		return err
	}
	err := indexer.IndexField(ctx, &batchv1.Job{}, jobByCronJob, func(o client.Object) []string {
		if owner := ownerCronJob(o); owner.Name != "" {
			return []string{owner.Name}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return indexer.IndexField(ctx, &v1alpha1.Tombstone{}, tombstoneByManifest, func(o client.Object) []string {
		if t, ok := o.(*v1alpha1.Tombstone); ok {
			return []string{t.Spec.Manifest.Name}
		}
		return nil
	})
}

// subjects wakes what an object keeps, of one kind. On an update the handler asks for the old
// and the new object, so that what is no longer kept wakes too.
func subjects(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		var out []reconcile.Request
		for _, ref := range reference.Kept(o) {
			if ref.To.Kind == kind {
				out = append(out, request(ref.To.Namespace, ref.To.Name))
			}
		}
		return out
	})
}

// manifestsByStore wakes the manifests that an object holds in the old form: those of the
// store that it names which list the artifact.
func manifestsByStore(r client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		var out []reconcile.Request
		for _, ref := range reference.Of(o) {
			if ref.To.Kind == v1alpha1.KindArtifactStore {
				out = append(out, users(ctx, r, ref.To, &v1alpha1.ArtifactManifestList{})...)
			}
		}
		return out
	})
}

// holdersOf wakes the objects of one kind that name an object.
func holdersOf(r client.Reader, list func() client.ObjectList) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return users(ctx, r, reference.Self(o), list())
	})
}

func users(ctx context.Context, r client.Reader, o reference.Object, list client.ObjectList) []reconcile.Request {
	err := r.List(ctx, list, client.MatchingFields{reference.Field: reference.Key(o)})
	if err != nil {
		log.FromContext(ctx).Error(err, "Finding whom to wake", "object", o.String())
		return nil
	}
	return requests(list, func(metav1.Object) bool { return true })
}

// requests are those for the items of a list.
func requests(list client.ObjectList, which func(metav1.Object) bool) []reconcile.Request {
	var out []reconcile.Request
	_ = apimeta.EachListItem(list, func(item runtime.Object) error {
		if m, err := apimeta.Accessor(item); err == nil && which(m) {
			out = append(out, request(m.GetNamespace(), m.GetName()))
		}
		return nil
	})
	return out
}

// stores wakes every store of the cluster, or of the object's namespace: their URLs must be
// compared anew, or their tombstones counted.
func stores(r client.Reader, everywhere bool) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		var all v1alpha1.ArtifactStoreList
		var opts []client.ListOption
		if !everywhere {
			opts = append(opts, client.InNamespace(o.GetNamespace()))
		}
		if err := r.List(ctx, &all, opts...); err != nil {
			log.FromContext(ctx).Error(err, "Finding which stores to wake")
			return nil
		}
		var out []reconcile.Request
		for _, s := range all.Items {
			if s.UID != o.GetUID() {
				out = append(out, request(s.Namespace, s.Name))
			}
		}
		return out
	})
}

// storesSharing wakes the other stores that share an address with a store, or did, or with the store of a manifest.
// Nobody wakes stores that he has nothing to do with by having his name server answer differently each time.
func storesSharing(r client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		s := storeAbout(ctx, r, o)
		if s == nil || len(s.Status.Addresses) == 0 {
			return nil
		}
		var all v1alpha1.ArtifactStoreList
		if err := r.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // it is only read
			log.FromContext(ctx).Error(err, "Finding which stores to wake")
			return nil
		}
		var out []reconcile.Request
		for i := range all.Items {
			if other := &all.Items[i]; other.UID != s.UID && place.SharedAddress(s, other) != "" {
				out = append(out, request(other.Namespace, other.Name))
			}
		}
		return out
	})
}

// storeAbout is a store itself, or that of a manifest; nil if it does not exist, in which case its addresses wake
// others later.
func storeAbout(ctx context.Context, r client.Reader, o client.Object) *v1alpha1.ArtifactStore {
	switch o := o.(type) {
	case *v1alpha1.ArtifactStore:
		return o
	case *v1alpha1.ArtifactManifest:
		var s v1alpha1.ArtifactStore
		if err := r.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.Spec.ArtifactStoreRef.Name}, &s); err == nil {
			return &s
		}
	}
	return nil
}

// storeOfJob wakes the store whose purge CronJob owns a Job.
func storeOfJob() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		if store := purge.StoreName(ownerCronJob(o).Name); store != "" {
			return []reconcile.Request{request(o.GetNamespace(), store)}
		}
		return nil
	})
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// lifeOnly lets pass what changes who holds whom: creation, deletion, a new spec, the begin
// of a deletion, an annotation. Status writes, ours among them, do not.
func lifeOnly() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// lifeOrContent passes, besides, changes of labels and owners and, of objects without a generation such as
// RoleBindings, every change.
func lifeOrContent() predicate.Predicate {
	return predicate.Or(lifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
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

// lifeOrLoss lets pass, besides, that somebody took away what the operator had written: the finalizer, or
// the status.
func lifeOrLoss() predicate.Predicate {
	return predicate.Or(lifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		if e.ObjectOld == nil || e.ObjectNew == nil {
			return false
		}
		lost := controllerutil.ContainsFinalizer(e.ObjectOld, v1alpha1.Finalizer) && !controllerutil.ContainsFinalizer(e.ObjectNew, v1alpha1.Finalizer)
		return lost || (len(v1alpha1.ConditionsOf(e.ObjectOld)) > 0 && len(v1alpha1.ConditionsOf(e.ObjectNew)) == 0)
	}})
}

// definitions wakes the objects of one kind that are being deleted when a CustomResourceDefinition comes,
// goes or is annotated: it may have become known what holds them.
func definitions(r client.Reader, list func() client.ObjectList) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		if reference.KindOf(o.GetName()) == "" {
			return nil
		}
		all := list()
		if err := r.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
			log.FromContext(ctx).Error(err, "Finding what waits for a CustomResourceDefinition", "definition", o.GetName())
			return nil
		}
		return requests(all, func(m metav1.Object) bool { return !m.GetDeletionTimestamp().IsZero() })
	})
}

// lifeOrHealth lets pass, besides, that a store became inert, or no longer is.
func lifeOrHealth() predicate.Predicate {
	return predicate.Or(lifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		if !ok1 || !ok2 {
			return false
		}
		a, b := readiness(was), readiness(is)
		return a.Status != b.Status || a.Reason != b.Reason
	}})
}

// lifeOrArtifacts lets pass, besides, what a manifest says of its artifacts and charts.
func lifeOrArtifacts() predicate.Predicate {
	return predicate.Or(lifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactManifest)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactManifest)
		return ok1 && ok2 && (!equality.Semantic.DeepEqual(was.Status.Artifacts, is.Status.Artifacts) || !equality.Semantic.DeepEqual(was.Status.Charts, is.Status.Charts))
	}})
}

// lifeOrApplications lets pass, besides, what a definition says of its applications.
func lifeOrApplications() predicate.Predicate {
	return predicate.Or(lifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.NetworkFunctionDefinitionVersion)
		is, ok2 := e.ObjectNew.(*v1alpha1.NetworkFunctionDefinitionVersion)
		return ok1 && ok2 && !equality.Semantic.DeepEqual(was.Status.Applications, is.Status.Applications)
	}})
}

// lifeOrPurge lets pass, besides, that a purge has ended or learnt something.
func lifeOrPurge() predicate.Predicate {
	return predicate.Or(lifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		return ok1 && ok2 && (was.Status.Capabilities != is.Status.Capabilities || !equalRuns(was.Status.LastPurge, is.Status.LastPurge))
	}})
}

// lifeOrReady lets pass, besides, that a store became Ready for the first time, by which others lose.
func lifeOrReady() predicate.Predicate {
	return predicate.Or(lifeOnly(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*v1alpha1.ArtifactStore)
		is, ok2 := e.ObjectNew.(*v1alpha1.ArtifactStore)
		return ok1 && ok2 && was.Settled() != is.Settled()
	}})
}

// newAddresses lets pass only that a store's registry has other addresses.
func newAddresses() predicate.Predicate {
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
	return a.CompletionTime.Equal(&b.CompletionTime) && a.Outcome == b.Outcome
}

func readiness(s *v1alpha1.ArtifactStore) metav1.Condition {
	if c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{}
}
