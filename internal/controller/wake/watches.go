package wake

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

const (
	// storeByHost is the field index of stores by their registry's host, as in
	// RegistryLocation.RegistryName. Only stores with the same host can overlap.
	storeByHost = "spec.registry.url"
	// JobByCronJob is the field index of Jobs by the name of the CronJob that owns them.
	JobByCronJob = "metadata.ownerReferences.cronJob"
)

// Index adds the indexes that the controllers use to the cache.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	if err := reference.Index(ctx, indexer); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.ArtifactManifest{}, imagesElsewhere, wantsElsewhere); err != nil {
		return err
	}
	if err := indexHosts(ctx, indexer); err != nil {
		return err
	}
	err := indexer.IndexField(ctx, &batchv1.Job{}, JobByCronJob, func(o client.Object) []string {
		if owner := cronjob.OwnerCronJob(o); owner.Name != "" {
			return []string{owner.Name}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return indexer.IndexField(ctx, &v1alpha1.Tombstone{}, tombstone.ByManifest, func(o client.Object) []string {
		if t, ok := o.(*v1alpha1.Tombstone); ok {
			return []string{t.Spec.Manifest.Name}
		}
		return nil
	})
}

func indexHosts(ctx context.Context, indexer client.FieldIndexer) error {
	hostOf := func(url string) []string {
		at, err := v1alpha1.ParseRegistryURL(url)
		if err != nil {
			return nil
		}
		return []string{at.RegistryName()}
	}
	return errors.Join(
		indexer.IndexField(ctx, &v1alpha1.ArtifactStore{}, storeByHost, func(o client.Object) []string {
			s, _ := o.(*v1alpha1.ArtifactStore)
			return hostOf(s.RegistryURL())
		}),
		indexer.IndexField(ctx, &v1alpha1.Tombstone{}, tombstone.ByHost, func(o client.Object) []string {
			t, _ := o.(*v1alpha1.Tombstone)
			return hostOf(t.Spec.RegistryURL)
		}),
	)
}

// Subjects wakes the objects of one kind that an object keeps. For an update, the handler calls
// it with the old and the new object, so that objects that are no longer kept are woken, too.
func Subjects(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		var out []reconcile.Request
		for _, ref := range reference.Kept(o) {
			if ref.To.Kind == kind {
				out = append(out, Request(ref.To.Namespace, ref.To.Name))
			}
		}
		return out
	})
}

// HoldersOf wakes the objects of one kind that reference an object.
func HoldersOf(r client.Reader, list func() client.ObjectList) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return users(ctx, r, reference.Self(o), list(), func(client.Object) bool { return true })
	})
}

func users(ctx context.Context, r client.Reader, o reference.Object, list client.ObjectList, which func(client.Object) bool) []reconcile.Request {
	found, err := find(ctx, r, o, list, which)
	if err != nil {
		log.FromContext(ctx).Error(err, "Finding whom to wake")
	}
	return found
}

// find returns requests for those of the objects that reference an object and for which which is true.
func find(ctx context.Context, r client.Reader, o reference.Object, list client.ObjectList, which func(client.Object) bool) ([]reconcile.Request, error) {
	if err := r.List(ctx, list, client.MatchingFields{reference.Field: reference.Key(o)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing who names %s: %w", o, err)
	}
	return requests(list, which), nil
}

// requests returns requests for the items of a list for which which is true.
func requests(list client.ObjectList, which func(client.Object) bool) []reconcile.Request {
	var out []reconcile.Request
	_ = apimeta.EachListItem(list, func(item runtime.Object) error {
		if o, ok := item.(client.Object); ok && which(o) {
			out = append(out, Request(o.GetNamespace(), o.GetName()))
		}
		return nil
	})
	return out
}

// Overlapping wakes the other stores of the cluster whose URLs overlap with
// a store's URL, so that they decide again which of them has the place.
func Overlapping(r client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		s, ok := o.(*v1alpha1.ArtifactStore)
		if !ok {
			return nil
		}
		return storesWhere(ctx, r, s.RegistryURL(), func(other *v1alpha1.ArtifactStore, here, there v1alpha1.RegistryLocation) bool {
			return other.UID != s.UID && here.Overlaps(there)
		})
	})
}

// StoresSharing wakes the other stores that may be in the registry of a store, or of a manifest's
// store, under another name. Stores in one registry under one name, which can be many, do not wake each
// other. A tenant cannot wake unrelated stores by changing what the host of a registry resolves to.
func StoresSharing(r client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		s := storeAbout(ctx, r, o)
		if s == nil || len(s.Status.Addresses) == 0 {
			return nil
		}
		var all v1alpha1.ArtifactStoreList
		if err := r.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // they are only read
			log.FromContext(ctx).Error(err, "Finding which stores to wake")
			return nil
		}
		var out []reconcile.Request
		for i := range all.Items {
			if other := &all.Items[i]; other.UID != s.UID && place.MayShare(s, other) {
				out = append(out, Request(other.Namespace, other.Name))
			}
		}
		return out
	})
}

// storeAbout returns a store itself, or a manifest's store. It returns
// nil if the store does not exist; its addresses then wake others later.
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

// StoresAt wakes the stores at a tombstone's namespace and place, so that they count their tombstones again.
func StoresAt(r client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		t, ok := o.(*v1alpha1.Tombstone)
		if !ok {
			return nil
		}
		return storesWhere(ctx, r, t.Spec.RegistryURL, func(s *v1alpha1.ArtifactStore, here, there v1alpha1.RegistryLocation) bool {
			return s.Namespace == t.Namespace && here.Same(there)
		})
	})
}

// storesWhere returns requests for the stores in the registry of a URL for which
// which is true. which gets the location of the URL and that of the store.
func storesWhere(ctx context.Context, r client.Reader, url string, which func(s *v1alpha1.ArtifactStore, here, there v1alpha1.RegistryLocation) bool) []reconcile.Request {
	here, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		return nil
	}
	var all v1alpha1.ArtifactStoreList
	if err := r.List(ctx, &all, client.MatchingFields{storeByHost: here.RegistryName()}, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "Finding which stores to wake", "host", here.Host)
		return nil
	}
	var out []reconcile.Request
	for i := range all.Items {
		s := &all.Items[i]
		if there, err := s.Location(); err == nil && which(s, here, there) {
			out = append(out, Request(s.Namespace, s.Name))
		}
	}
	return out
}

// StoreOfJob wakes the store whose purge CronJob owns a Job.
func StoreOfJob() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		if store := cronjob.StoreName(cronjob.OwnerCronJob(o).Name); store != "" {
			return []reconcile.Request{Request(o.GetNamespace(), store)}
		}
		return nil
	})
}

// Request returns the request for an object.
func Request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// Definitions wakes the objects of one kind that are being deleted when a CustomResourceDefinition
// is created, deleted or annotated, because it may now be known what holds them.
func Definitions(r client.Reader, list func() client.ObjectList) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		if reference.KindOf(o.GetName()) == "" {
			return nil
		}
		all := list()
		if err := r.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
			log.FromContext(ctx).Error(err, "Finding what waits for a CustomResourceDefinition", "definition", o.GetName())
			return nil
		}
		return requests(all, func(o client.Object) bool { return !o.GetDeletionTimestamp().IsZero() })
	})
}
