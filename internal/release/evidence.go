package release

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/reference"
)

// MaxEvidence is the maximum age of evidence that a write may rely on (I3).
const MaxEvidence = 5 * time.Second

// evidence is what a release relies on. Its field at is the time at which reading it began, on the monotonic clock.
type evidence struct {
	at        time.Time
	holders   []reference.Holder
	store     *v1alpha1.ArtifactStore
	untouched string
	// listed has the tags that other manifests list or have not released yet: StoreScoped manifests of
	// the store, and manifests of stores in the same place, as when a publisher moves to another namespace.
	listed reference.Listed
}

// free returns the entries whose tags no other manifest lists. Only these tags may be removed (I1).
func (ev evidence) free(entries []v1alpha1.ArtifactStatus) []v1alpha1.ArtifactStatus {
	return slices.DeleteFunc(slices.Clone(entries), func(e v1alpha1.ArtifactStatus) bool {
		_, others := ev.listed[e.Repository+":"+e.ArtifactVersion]
		return others
	})
}

// others returns the entries whose tags stay, each with the manifest that lists it, in the order of entries.
func (ev evidence) others(entries []v1alpha1.ArtifactStatus) (stay []string) {
	for _, e := range entries {
		tag := e.Repository + ":" + e.ArtifactVersion
		if by, ok := ev.listed[tag]; ok {
			stay = append(stay, fmt.Sprintf("%s (%s)", tag, by))
		}
	}
	return stay
}

// fresh gathers the evidence again if it is too old for another write (I3). It returns
// ErrSuperseded if the store has changed or the entry may no longer be released.
func (r *Releaser) fresh(ctx context.Context, job Task, ev *evidence, f Finding) error {
	if r.Clock.Since(ev.at) <= MaxEvidence/2 {
		return nil
	}
	was := ev.store
	var err error
	if *ev, err = r.gather(ctx, job); err != nil || len(ev.holders) > 0 {
		if ev.store == nil {
			ev.store = was // gather reads the holders before the store
		}
		return err
	}
	if ev.untouched != "" || ev.store.UID != was.UID || ev.store.Generation != was.Generation || len(ev.free([]v1alpha1.ArtifactStatus{f.ArtifactStatus})) == 0 {
		return fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, reference.ErrSuperseded)
	}
	return nil
}

// These messages say why nothing can be recorded, and so nothing is untagged (I4).
const (
	goneNamespace = "The namespace is being deleted, so nothing can be recorded: the artifacts stay in the registry."
	goneKind      = "The CustomResourceDefinition of ArtifactManifests is being deleted with all manifests, so nothing is released: the artifacts stay in the registry."
)

// gather reads, live, everything that a release relies on: that the manifest is unchanged,
// which objects hold it, where its store is, and that no other store owns that place (I9).
func (r *Releaser) gather(ctx context.Context, job Task) (evidence, error) {
	ev := evidence{at: r.Clock.Now()}
	var m v1alpha1.ArtifactManifest
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(job.Manifest), &m)
	switch {
	case apierrors.IsNotFound(err), err == nil && (m.UID != job.Manifest.UID || m.Generation != job.Manifest.Generation):
		return ev, fmt.Errorf("reading manifest %s: %w", job.Manifest.Name, reference.ErrSuperseded)
	case err != nil:
		return ev, fmt.Errorf("reading manifest %s: %w", job.Manifest.Name, err)
	}
	c := r.readCommon(ctx, &m)
	if ev.holders = c.found.Holders; c.holdersErr != nil || len(ev.holders) > 0 {
		return ev, c.holdersErr
	}
	if c.found.KindGoing {
		ev.untouched = goneKind
		return ev, nil
	}
	if ev.holders, err = r.unlistedHolders(ctx, &m); err != nil || len(ev.holders) > 0 {
		return ev, err
	}
	if c.namespaceErr != nil {
		return ev, c.namespaceErr
	}
	if c.going {
		ev.untouched = goneNamespace
		return ev, nil
	}
	if err := r.gatherStore(ctx, &m, c, &ev); err != nil || ev.untouched != "" {
		return ev, err
	}
	// The entries were listed for another place, or for none because
	// the cache had no store yet. They say nothing about this place.
	if at, err := ev.store.Location(); err != nil || at != job.Location {
		return ev, fmt.Errorf("reading store %s: %w", ev.store.Name, reference.ErrSuperseded)
	}
	return ev, nil
}

// common is what all releases of a namespace read. Releases that wait at the same time share each reading.
type common struct {
	found  reference.Found
	going  bool // the namespace is being deleted
	stores []v1alpha1.ArtifactStore
	// storeScoped are the StoreScoped manifests of the namespace.
	storeScoped []v1alpha1.ArtifactManifest
	// The errors of the readings.
	holdersErr, namespaceErr, storesErr, storeScopedErr error
}

// readCommon reads at the same time what is independent: a busy API server takes up to 100 ms for each reading.
func (r *Releaser) readCommon(ctx context.Context, m *v1alpha1.ArtifactManifest) (c common) {
	var reading sync.WaitGroup
	reading.Go(func() { c.found, c.holdersErr = r.Holders.Live(ctx, m) })
	reading.Go(func() { c.going, c.namespaceErr = r.namespaceGoing(ctx, m.Namespace) })
	reading.Go(func() { c.stores, c.storesErr = r.AllStores(ctx) })
	reading.Go(func() { c.storeScoped, c.storeScopedErr = r.manifestsOf(ctx, scope{m.Namespace, v1alpha1.StoreScoped}) })
	reading.Wait()
	return c
}

// namespaceGoing reports whether a namespace is being deleted.
func (r *Releaser) namespaceGoing(ctx context.Context, name string) (bool, error) {
	going, err := r.namespaces.Do(ctx, name, func(ctx context.Context) (bool, error) {
		var ns corev1.Namespace
		err := r.Live.Get(ctx, client.ObjectKey{Name: name}, &ns)
		return !ns.DeletionTimestamp.IsZero(), err
	})
	if err != nil {
		return false, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return going, nil
}

// unlistedHolders reads, by name, the holders that the cache or the manifest's status knows but the live
// lists do not contain. Without it, an incomplete list would release artifacts that are in use (I2).
func (r *Releaser) unlistedHolders(ctx context.Context, m *v1alpha1.ArtifactManifest) ([]reference.Holder, error) {
	known, err := r.Holders.Cached(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, d := range m.Status.Dependents.Dependents {
		known = append(known, reference.Holder{Object: reference.Object{Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}})
	}
	return r.Holders.Still(ctx, m, known)
}

// everywhere is the key of readings of the whole cluster.
const everywhere = ""

// AllStores reads every store of the cluster, uncached.
func (r *Releaser) AllStores(ctx context.Context) ([]v1alpha1.ArtifactStore, error) {
	all, err := r.stores.Do(ctx, everywhere, func(ctx context.Context) ([]v1alpha1.ArtifactStore, error) {
		var list v1alpha1.ArtifactStoreList
		err := r.Live.List(ctx, &list, livelist.Keep(func(o client.Object) {
			if s, ok := o.(*v1alpha1.ArtifactStore); ok {
				s.Status.Unresolved = nil
			}
		}))
		return list.Items, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing stores: %w", err)
	}
	return all, nil
}

// ownStore returns the manifest's store from all, or nil if it does
// not exist. If the list lacks the store, ownStore reads it by name.
func (r *Releaser) ownStore(ctx context.Context, m *v1alpha1.ArtifactManifest, all []v1alpha1.ArtifactStore) (*v1alpha1.ArtifactStore, error) {
	for i := range all {
		if s := &all[i]; s.Namespace == m.Namespace && s.Name == m.Spec.ArtifactStoreRef.Name {
			return s.DeepCopy(), nil
		}
	}
	own := &v1alpha1.ArtifactStore{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, own)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // none exists
	case err != nil:
		return nil, fmt.Errorf("reading store %s: %w", m.Spec.ArtifactStoreRef.Name, err)
	}
	return nil, fmt.Errorf("listing stores: %w: store %s exists and is not listed", reference.ErrSuperseded, own.Name)
}

// gatherStore finds the manifest's store, and whether a release may change anything in its place.
func (r *Releaser) gatherStore(ctx context.Context, m *v1alpha1.ArtifactManifest, c common, ev *evidence) error {
	if c.storesErr != nil {
		return c.storesErr
	}
	var err error
	if ev.store, err = r.ownStore(ctx, m, c.stores); err != nil {
		return err
	}
	// The annotation with the sealed digests is a record too, in case the status was lost.
	recorded := slices.ContainsFunc(slices.Concat(m.Status.Artifacts, inventory.Entries(m, v1alpha1.RegistryLocation{})), func(a v1alpha1.ArtifactStatus) bool { return a.Digest != "" })
	switch {
	case unknownOnDelete(m) || (ev.store != nil && unknownOnDelete(ev.store)):
		return fmt.Errorf("reading what is wanted on deletion: %w", ErrOnDelete) // the author of the value wanted something that nfo does not know
	case v1alpha1.Orphaned(m) || (ev.store != nil && v1alpha1.Orphaned(ev.store)):
		ev.untouched = "Annotation nfo.dev/on-delete: Orphan: the artifacts stay in the registry."
	case ev.store == nil && recorded:
		return fmt.Errorf("finding ArtifactStore %s: %w", m.Spec.ArtifactStoreRef.Name, ErrStoreNotFound)
	case ev.store == nil:
		ev.untouched = "Its store does not exist and nothing of it was ever seen in a registry."
	default:
		if ev.untouched, err = r.Inert(ev.store, c.stores); err != nil {
			return err
		}
	}
	if ev.untouched != "" {
		return nil
	}
	if c.storeScopedErr != nil {
		return c.storeScopedErr
	}
	ev.listed, err = r.listed(ctx, ev.store, c.stores, c.storeScoped)
	return err
}

// Listed reads, live, the tags that manifests list outside of their own path or place: the tags
// of the store's StoreScoped manifests, and those of all manifests of stores in the same place,
// even if these stores are inert, and of stores that may be in the same place under another name.
func (r *Releaser) Listed(ctx context.Context, s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) (reference.Listed, error) {
	storeScoped, err := r.manifestsOf(ctx, scope{s.Namespace, v1alpha1.StoreScoped})
	if err != nil {
		return nil, err
	}
	return r.listed(ctx, s, all, storeScoped)
}

// listed is Listed for callers that have already read the StoreScoped manifests of the store's namespace.
func (r *Releaser) listed(ctx context.Context, s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore, storeScoped []v1alpha1.ArtifactManifest) (reference.Listed, error) {
	tags := reference.Listed{}
	tags.Add(s, storeScoped)
	return tags, tags.AddBeside(r.Places.Beside(s, all), func(namespace string) ([]v1alpha1.ArtifactManifest, error) {
		return r.manifestsOf(ctx, scope{namespace: namespace})
	})
}

// manifestsOf reads, live, the manifests of a scope. Of their status it keeps only the artifacts that
// left the spec and have not been released. Callers share the manifests and must not change them.
func (r *Releaser) manifestsOf(ctx context.Context, in scope) ([]v1alpha1.ArtifactManifest, error) {
	found, err := r.manifests.Do(ctx, in, func(ctx context.Context) ([]v1alpha1.ArtifactManifest, error) {
		opts := []client.ListOption{client.InNamespace(in.namespace), livelist.Keep(func(o client.Object) {
			if m, ok := o.(*v1alpha1.ArtifactManifest); ok {
				m.Status = v1alpha1.ArtifactManifestStatus{Artifacts: m.Unreleased()}
			}
		})}
		if in.path != "" {
			opts = append(opts, client.MatchingFields{"spec.uploadPath": string(in.path)})
		}
		var list v1alpha1.ArtifactManifestList
		err := r.Live.List(ctx, &list, opts...)
		return list.Items, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the manifests of namespace %s: %w", in.namespace, err)
	}
	return found, nil
}

// Inert returns why the manifests of a store are deleted without changing the registry, or "" if the registry
// may be changed. The error wraps reference.ErrSuperseded while the store's status says that the store must
// not use its place but the live readings do not confirm it: either of them may be wrong for a moment (I2).
func (r *Releaser) Inert(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) (string, error) {
	at, err := s.Location()
	if err != nil {
		return fmt.Sprintf("The URL of store %s is %v: nothing was ever done there.", s.Name, err), nil
	}
	if err := r.Places.Refusal(s.Namespace, at); err != nil {
		return fmt.Sprintf("Store %s is inert, and the artifacts stay in the registry: %v.", s.Name, err), nil
	}
	if w := r.Places.Winner(s, all); w != nil {
		return fmt.Sprintf("Store %s is inert because store %s/%s has an overlapping URL and precedes it: the artifacts stay in the registry.", s.Name, w.Namespace, w.Name), nil
	}
	if c := backend.Inert(s); c != nil && (c.Reason == v1alpha1.ReasonPathConflict || c.Reason == v1alpha1.ReasonPlaceRefused) {
		return "", fmt.Errorf("reading which store has the place of %s: %w", s.Name, reference.ErrSuperseded)
	}
	return "", nil
}

// Unchanged reads a manifest live and returns reference.ErrSuperseded if it is no longer the one in seen.
func (r *Releaser) Unchanged(ctx context.Context, seen *v1alpha1.ArtifactManifest) error {
	var m v1alpha1.ArtifactManifest
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(seen), &m); err != nil {
		return fmt.Errorf("reading manifest %s: %w", seen.Name, err)
	}
	if m.UID != seen.UID || m.Generation != seen.Generation || m.Annotations[v1alpha1.AnnotationRestoreDigest] != seen.Annotations[v1alpha1.AnnotationRestoreDigest] {
		return fmt.Errorf("reading manifest %s: %w", m.Name, reference.ErrSuperseded)
	}
	return nil
}

// NamespaceGone reports whether the API server refused to create an object because the
// namespace is being deleted.
func NamespaceGone(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// InertByStatus returns why nothing may be done in a store, or nil if it
// may be used. It finds a refused place before the store's status says so.
func (r *Releaser) InertByStatus(s *v1alpha1.ArtifactStore, at v1alpha1.RegistryLocation) *metav1.Condition {
	if refusal := r.Places.Refusal(s.Namespace, at); refusal != nil {
		return &metav1.Condition{Reason: v1alpha1.ReasonPlaceRefused, Message: refusal.Error()}
	}
	return backend.Inert(s)
}

func unknownOnDelete(o client.Object) bool {
	v, set := o.GetAnnotations()[v1alpha1.AnnotationOnDelete]
	return set && v != v1alpha1.OnDeleteOrphan
}
