package wake

import (
	"context"
	"errors"
	"slices"

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
	// storeByHost is the field index of stores by the registry's host, as RegistryLocation.RegistryName has it. Stores
	// of one host alone can overlap.
	storeByHost = "spec.registry.url"
	// JobByCronJob is the field index of Jobs by the name of the CronJob that owns them.
	JobByCronJob = "metadata.ownerReferences.cronJob"
)

// Index tells the cache what the controllers look up.
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

// Subjects wakes what an object keeps, of one kind. On an update the handler asks for the old
// and the new object, so that what is no longer kept wakes too.
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

// ManifestsByStore wakes the manifests that an object holds in the old form: those of the
// store that it names which list the artifact.
func ManifestsByStore(r client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		var out []reconcile.Request
		for store, artifacts := range artifactsByStore(reference.Of(o)) {
			out = append(out, users(ctx, r, store, &v1alpha1.ArtifactManifestList{}, func(m client.Object) bool { return listsAny(m, artifacts) })...)
		}
		return out
	})
}

// artifactsByStore are the artifacts that references name by their store, the old form.
func artifactsByStore(refs []reference.Reference) map[reference.Object]map[string]bool {
	of := map[reference.Object]map[string]bool{}
	for _, ref := range refs {
		if ref.To.Kind != v1alpha1.KindArtifactStore {
			continue
		}
		if of[ref.To] == nil {
			of[ref.To] = map[string]bool{}
		}
		of[ref.To][ref.Artifact] = true
	}
	return of
}

// listsAny reports whether a manifest lists an artifact of one of the names, or has not released it yet.
func listsAny(o client.Object, artifacts map[string]bool) bool {
	m, ok := o.(*v1alpha1.ArtifactManifest)
	return ok && (slices.ContainsFunc(m.Spec.Artifacts, func(a v1alpha1.ManifestArtifact) bool { return artifacts[a.ArtifactName] }) ||
		slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return artifacts[a.ArtifactName] }))
}

// HoldersOf wakes the objects of one kind that name an object.
func HoldersOf(r client.Reader, list func() client.ObjectList) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return users(ctx, r, reference.Self(o), list(), func(client.Object) bool { return true })
	})
}

func users(ctx context.Context, r client.Reader, o reference.Object, list client.ObjectList, which func(client.Object) bool) []reconcile.Request {
	err := r.List(ctx, list, client.MatchingFields{reference.Field: reference.Key(o)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		log.FromContext(ctx).Error(err, "Finding whom to wake", "object", o.String())
		return nil
	}
	return requests(list, which)
}

// requests are those for the items of a list.
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

// Overlapping wakes the other stores of the cluster whose URLs overlap with that of a store: it is decided anew
// which of them has the place.
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

// StoresSharing wakes the other stores that may be in the registry of a store, or of a manifest's store, under another
// name. The many stores in one registry under one name do not wake each other.
// A tenant cannot wake unrelated stores by changing what the host of a registry resolves to.
func StoresSharing(r client.Reader) handler.EventHandler {
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
			if other := &all.Items[i]; other.UID != s.UID && place.MayShare(s, other) {
				out = append(out, Request(other.Namespace, other.Name))
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

// StoresAt wakes the stores of a tombstone's namespace and place: their tombstones are counted anew.
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

// storesWhere are requests for the stores of the registry of a URL for which which is true. It is given the
// location of the URL and that of the store.
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

// Request is one for an object.
func Request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// Definitions wakes the objects of one kind that are being deleted when a CustomResourceDefinition comes,
// goes or is annotated: it may have become known what holds them.
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
