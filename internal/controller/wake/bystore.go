package wake

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// remembered is how many events a ByStore remembers. Controllers handle the same event soon after one another.
const remembered = 64

// ByStore finds the manifests that objects hold in the old form: the manifests of the referenced store that list
// the artifact. Controllers that share a ByStore list them once for each event. It is safe for concurrent use.
type ByStore struct {
	reader client.Reader

	mu   sync.Mutex
	last [remembered]woken
	next int // the index in last for the next event
}

// woken are the requests for one change of an object.
type woken struct {
	by       change
	requests []reconcile.Request
}

// change identifies a change of an object by its versions before
// and after; a version is empty if the object did not exist.
type change struct{ was, is version }

type version struct {
	uid             types.UID
	resourceVersion string
}

// tells reports whether the versions identify the change. Those of a repeated event do not.
func (c change) tells() bool { return c.was != c.is }

// NewByStore makes a ByStore that lists manifests with r, which has the index of package reference.
func NewByStore(r client.Reader) *ByStore { return &ByStore{reader: r} }

// Handler wakes the manifests that an object holds in the old form, or held before an update. Objects that exist when
// the manager starts wake no manifest, because each manifest has a first pass then, with all objects in the cache.
func (s *ByStore) Handler() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList {
				s.wake(ctx, nil, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { s.wake(ctx, e.ObjectOld, e.ObjectNew, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { s.wake(ctx, e.Object, nil, q) },
	}
}

func (s *ByStore) wake(ctx context.Context, was, is client.Object, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	requests, err := s.requests(ctx, was, is)
	if err != nil {
		log.FromContext(ctx).Error(err, "Finding which manifests to wake by their store")
	}
	for _, r := range requests {
		q.Add(r)
	}
}

// requests returns the manifests that a change of an object concerns,
// with one list for each store that the object references or referenced.
func (s *ByStore) requests(ctx context.Context, was, is client.Object) ([]reconcile.Request, error) {
	artifacts := map[reference.Object]map[string]bool{}
	of := change{addArtifacts(artifacts, was), addArtifacts(artifacts, is)}
	if len(artifacts) == 0 {
		return nil, nil
	}
	s.mu.Lock() // also while it lists: another controller with the same event waits for that list
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.last[:], func(w woken) bool { return of.tells() && w.by == of }); i >= 0 {
		return s.last[i].requests, nil
	}
	var out []reconcile.Request
	for store, names := range artifacts {
		rs, err := find(ctx, s.reader, store, &v1alpha1.ArtifactManifestList{}, func(m client.Object) bool { return listsAny(m, names) })
		if err != nil {
			return out, err
		}
		out = append(out, rs...)
	}
	s.last[s.next] = woken{of, out}
	s.next = (s.next + 1) % remembered
	return out, nil
}

// addArtifacts adds the artifacts that an object references through
// a store, and returns the object's version; the empty one for nil.
func addArtifacts(to map[reference.Object]map[string]bool, o client.Object) version {
	if o == nil {
		return version{}
	}
	for _, ref := range reference.Of(o) {
		if ref.To.Kind != v1alpha1.KindArtifactStore {
			continue
		}
		if to[ref.To] == nil {
			to[ref.To] = map[string]bool{}
		}
		to[ref.To][ref.Artifact] = true
	}
	return version{o.GetUID(), o.GetResourceVersion()}
}

// listsAny reports whether a manifest lists an artifact with one of the names, or has not released it yet.
func listsAny(o client.Object, artifacts map[string]bool) bool {
	m, ok := o.(*v1alpha1.ArtifactManifest)
	return ok && (slices.ContainsFunc(m.Spec.Artifacts, func(a v1alpha1.ManifestArtifact) bool { return artifacts[a.ArtifactName] }) ||
		slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return artifacts[a.ArtifactName] }))
}
