package reference

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/batch"
	"github.com/nfo-operator/nfo/internal/livelist"
)

// Finder finds the holders of a subject.
type Finder struct {
	cached, live client.Reader
	now          func() time.Time // the API server's time

	lists batch.Reads[question, answer]
	// definitions has, by kind, readings of definitions.
	definitions batch.Reads[string, Definitions]

	mu sync.Mutex
	// met has, by UID of a subject that is being deleted and by kind, the latest creation time of a holder that was seen.
	met map[types.UID]map[string]time.Time
}

// The manager reads these kinds in all namespaces, even if it watches only some, so
// that it sees every object that protects an artifact. The ClusterRole nfo-manager is
// generated from these markers, and from those of packages admission and certificate.
//
// +kubebuilder:rbac:groups=nfo.dev,resources=artifactstores;artifactmanifests;networkfunctiondefinitionversions;networkservicedesignversions;sitenetworkservices;tombstones;artifacts,verbs=get;list;watch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=get;list;watch

// NewFinder returns a Finder. cached must have the index of Index. live must
// read from the API server itself, and now must return that server's time.
func NewFinder(cached, live client.Reader, now func() time.Time) *Finder {
	return &Finder{cached: cached, live: live, now: now, met: map[types.UID]map[string]time.Time{}}
}

// Cached returns the holders of a subject that the cache knows, sorted. The cache may lag behind: use Cached
// to refuse and to wait, never to release. An object whose CustomResourceDefinition is being deleted has no
// holders: that deletion cannot be stopped, and a definition that waits for it cannot be applied again.
func (f *Finder) Cached(ctx context.Context, subject client.Object) ([]Holder, error) {
	holders, err := f.indexed(ctx, subject)
	if err != nil || len(holders) == 0 || subject.GetDeletionTimestamp().IsZero() {
		return holders, err
	}
	if going, err := f.going(ctx, Self(subject).Kind); err != nil || going {
		return nil, err
	}
	return holders, nil
}

// indexed returns the holders of a subject that the cache's index has, sorted.
func (f *Finder) indexed(ctx context.Context, subject client.Object) ([]Holder, error) {
	found := map[Object]Holder{}
	for _, to := range targets(subject) {
		for _, kind := range holdersOf(Self(subject).Kind) {
			// No pages here: the cache would truncate the list without reporting it.
			items, err := kind.list(ctx, f.cached, 0, client.InNamespace(kind.in(subject.GetNamespace())), client.MatchingFields{Field: Key(to)}, client.UnsafeDisableDeepCopy)
			if err != nil {
				return nil, err
			}
			for _, o := range items {
				if h, ok := holderOf(o, kind.name, subject); ok {
					found[h.Object] = h
					f.meet(subject, kind.name, o)
				}
			}
		}
	}
	holders := slices.Collect(maps.Values(found))
	SortHolders(holders)
	return holders, nil
}

// going reports whether the CustomResourceDefinition of a kind is being deleted. It reads
// it live too, because the cache may still show a definition that has been replaced.
func (f *Finder) going(ctx context.Context, kind string) (bool, error) {
	for _, r := range []client.Reader{f.cached, f.live} {
		if ds, err := ReadDefinitions(ctx, r, kind); err != nil || !ds[kind].Terminating {
			return false, err
		}
	}
	return true, nil
}

// Confirm drops the leading cached holders of a subject that no longer block its deletion: holders
// that no longer exist, are being deleted, or reference something else. It reads holders until it
// finds one that blocks, because one is enough to refuse; the holders after it are returned as cached.
func (f *Finder) Confirm(ctx context.Context, subject client.Object, cached []Holder) ([]Holder, error) {
	for i, h := range cached {
		o := h.Blank()
		err := f.live.Get(ctx, client.ObjectKey{Namespace: h.Namespace, Name: h.Name}, o)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading %s again: %w", h, err)
		}
		if now, holds := holderOf(o, h.Kind, subject); err == nil && holds && now.Stands() {
			return append([]Holder{now}, cached[i+1:]...), nil
		}
	}
	return nil, nil
}

// Still returns the known holders of a subject that still exist
// and hold it. It reads each holder from the API server by name.
func (f *Finder) Still(ctx context.Context, subject client.Object, known []Holder) ([]Holder, error) {
	var still []Holder
	for _, h := range known {
		o := h.Blank()
		if o == nil {
			continue
		}
		err := f.live.Get(ctx, client.ObjectKey{Namespace: h.Namespace, Name: h.Name}, o)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading %s again: %w", h, err)
		}
		if now, holds := holderOf(o, h.Kind, subject); err == nil && holds {
			still = append(still, now)
		}
	}
	return still, nil
}

// Found is the result of listing the holders of a subject live.
type Found struct {
	// Holders are sorted. There are none if KindGoing is true.
	Holders []Holder
	// KindGoing is true if the subject's own CustomResourceDefinition is being
	// deleted, with all of its objects. Their artifacts stay in the registry.
	KindGoing bool
}

// Live returns the stored holders of a subject from lists that began after Live was called. It fails rather
// than miss a holder: the error wraps ErrHoldersUnknown if the lists contain no holder but prove nothing (I2).
func (f *Finder) Live(ctx context.Context, subject client.Object) (Found, error) {
	self := Self(subject)
	b, err := f.snapshot(ctx, question{subject.GetNamespace(), self.Kind})
	if err != nil {
		return Found{}, fmt.Errorf("listing what holds %s: %w", self, err)
	}
	if b.definitions[self.Kind].Terminating {
		return Found{KindGoing: true}, nil
	}
	found := Found{Holders: b.all.Holders(subject)}
	if len(found.Holders) > 0 {
		return found, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	met := func(kind string) time.Time { return f.met[subject.GetUID()][kind] }
	return found, doubtError(b.definitions.Doubt(HolderKindsOf(self.Kind), subject.GetCreationTimestamp().Time, f.now(), met))
}

// Doubt returns nil if the absence of known holders proves that an object has none: the kinds that could hold it are
// served and older than the object. It reads their definitions from the cache. The error wraps ErrHoldersUnknown.
func (f *Finder) Doubt(ctx context.Context, subject client.Object) error {
	self := Self(subject)
	kinds := HolderKindsOf(self.Kind)
	ds, err := ReadDefinitions(ctx, f.cached, append(kinds, self.Kind)...)
	if err != nil || ds[self.Kind].Terminating {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	met := func(kind string) time.Time { return f.met[subject.GetUID()][kind] }
	return doubtError(ds.Doubt(kinds, subject.GetCreationTimestamp().Time, f.now(), met))
}

// meet remembers a holder of a subject that is being deleted. If the holder disappears later,
// it was deleted under the same CustomResourceDefinition and not lost with an older one.
func (f *Finder) meet(subject client.Object, kind string, holder client.Object) {
	if subject.GetDeletionTimestamp().IsZero() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kinds := f.met[subject.GetUID()]
	if kinds == nil {
		kinds = map[string]time.Time{}
		f.met[subject.GetUID()] = kinds
	}
	if created := holder.GetCreationTimestamp().Time; created.After(kinds[kind]) {
		kinds[kind] = created
	}
}

// Forget drops what is remembered of a subject that no longer exists.
func (f *Finder) Forget(subject types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.met, subject)
}

// Snapshot has, by kind, every object that can hold another object of a namespace.
type Snapshot map[string][]client.Object

// Read reads a snapshot of a namespace with r. It leaves out kinds that
// hold objects of other namespaces: they hold no manifest and no store.
func Read(ctx context.Context, r client.Reader, namespace string) (Snapshot, error) {
	kinds := slices.DeleteFunc(slices.Clone(holderKinds), func(k holderKind) bool { return k.crossNamespace })
	return read(ctx, r, namespace, kinds, livelist.Keep(keepOnly))
}

// read lists all kinds at the same time, because an API server may be far away. Nothing relies on one kind being read before
// another.
func read(ctx context.Context, r client.Reader, namespace string, kinds []holderKind, opts ...client.ListOption) (Snapshot, error) {
	lists := make([][]client.Object, len(kinds))
	reads, ctx := errgroup.WithContext(ctx)
	for i, kind := range kinds {
		reads.Go(func() (err error) {
			lists[i], err = kind.list(ctx, r, pageSize, append(slices.Clip(opts), client.InNamespace(kind.in(namespace)))...)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	all := Snapshot{}
	for i, kind := range kinds {
		all[kind.name] = lists[i]
	}
	return all, nil
}

// Holders returns the holders of a subject in the snapshot, sorted.
func (s Snapshot) Holders(subject client.Object) []Holder {
	var holders []Holder
	for kind, items := range s {
		for _, o := range items {
			if h, ok := holderOf(o, kind, subject); ok {
				holders = append(holders, h)
			}
		}
	}
	SortHolders(holders)
	return holders
}

// Manifests returns the manifests in the snapshot.
func (s Snapshot) Manifests() []*v1alpha1.ArtifactManifest {
	var ms []*v1alpha1.ArtifactManifest
	for _, o := range s[v1alpha1.KindArtifactManifest] {
		if m, ok := o.(*v1alpha1.ArtifactManifest); ok {
			ms = append(ms, m)
		}
	}
	return ms
}

// targets returns the objects that a reference can name to hold the subject:
// the subject itself and, for a manifest, its store (the old form).
func targets(subject client.Object) []Object {
	ts := []Object{Self(subject)}
	if m, ok := subject.(*v1alpha1.ArtifactManifest); ok {
		ts = append(ts, Object{v1alpha1.KindArtifactStore, m.Namespace, m.Spec.ArtifactStoreRef.Name})
	}
	return ts
}

// question identifies a live list: the objects that can hold objects of one kind in one namespace.
type question struct{ namespace, kind string }

// answer is the result of a live list.
type answer struct {
	all         Snapshot
	definitions Definitions // read after the list
}

// keepOnly drops from an object everything that says neither what it holds nor where artifacts
// are stored. Strings that occur in many artifacts of a manifest are kept in memory once.
func keepOnly(o client.Object) {
	m, ok := o.(*v1alpha1.ArtifactManifest)
	if !ok {
		holdOnly(o)
		return
	}
	m.Status.Conditions, m.Status.Charts = nil, nil
	common := map[string]string{}
	share := func(text *string) {
		if have, known := common[*text]; known {
			*text = have
		} else {
			common[*text] = *text
		}
	}
	for i := range m.Spec.Artifacts {
		a := &m.Spec.Artifacts[i]
		share(&a.ArtifactName)
		share(&a.ArtifactType)
		share(&a.ArtifactVersion)
	}
	for i := range m.Status.Artifacts {
		a := &m.Status.Artifacts[i]
		a.MediaType, a.ConfigMediaType = "", ""
		share(&a.ArtifactName)
		share(&a.ArtifactVersion)
		share(&a.Repository)
	}
}

// holdOnly drops from an object everything that does not say what it holds.
func holdOnly(o client.Object) {
	switch o := o.(type) {
	case *v1alpha1.ArtifactManifest: // its reference to the store stays
		o.Spec.Artifacts, o.Status = nil, v1alpha1.ArtifactManifestStatus{}
	case *v1alpha1.NetworkFunctionDefinitionVersion:
		o.Status.VersionStatus = v1alpha1.VersionStatus{}
		for i := range o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications {
			a := &o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[i]
			a.DependsOnProfile = nil
			a.ArtifactProfile.HelmArtifactProfile.RegistryValuesPaths = nil
			a.ArtifactProfile.HelmArtifactProfile.ImagePullSecretsValuesPaths = nil
		}
	case *v1alpha1.NetworkServiceDesignVersion:
		o.Status = v1alpha1.VersionStatus{}
	case *v1alpha1.SiteNetworkService:
		o.Status = v1alpha1.VersionStatus{}
	}
}

// snapshot answers a question by a list that begins after snapshot was called.
func (f *Finder) snapshot(ctx context.Context, q question) (answer, error) {
	return f.lists.Do(ctx, q, func(ctx context.Context) (a answer, err error) {
		if a.all, err = read(ctx, f.live, q.namespace, holdersOf(q.kind), livelist.Keep(holdOnly)); err == nil {
			a.definitions, err = f.definitionsNow(ctx, append(HolderKindsOf(q.kind), q.kind))
		}
		return a, err
	})
}

// definitionsNow reads the definitions of kinds at the same time. Each reading begins after
// definitionsNow was called and is shared with the lists of other namespaces and kinds.
func (f *Finder) definitionsNow(ctx context.Context, kinds []string) (Definitions, error) {
	some := make([]Definitions, len(kinds))
	var reading errgroup.Group
	for i, kind := range kinds {
		reading.Go(func() (err error) {
			some[i], err = f.definitions.Do(ctx, kind, func(ctx context.Context) (Definitions, error) { return ReadDefinitions(ctx, f.live, kind) })
			return err
		})
	}
	err := reading.Wait()
	all := Definitions{}
	for _, ds := range some {
		maps.Copy(all, ds)
	}
	return all, err
}
