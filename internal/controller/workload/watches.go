package workload

import (
	"context"
	"fmt"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

// watched are the kinds that have few enough objects to be watched, by metadata: those that deploy charts.
var watched = map[v1alpha1.WorkloadSource]schema.GroupKind{
	v1alpha1.WorkloadFlux:   {Group: "helm.toolkit.fluxcd.io", Kind: "HelmRelease"},
	v1alpha1.WorkloadArgoCD: {Group: "argoproj.io", Kind: "Application"},
}

// Watches wakes the manifests whose deletion waits for an object of Flux or Argo CD when that
// object is changed or deleted. Deletions that wait for other workloads are checked by time.
type Watches struct {
	Client client.Client
	Cache  cache.Cache
	// Wake makes the manifest reconciler run a pass over a manifest.
	Wake chan<- event.GenericEvent
	// Done is closed when nothing receives from Wake any more.
	Done <-chan struct{}

	mu    sync.Mutex
	begun map[schema.GroupKind]bool
}

// Begin watches the kinds of the sources that a reading could read, each once. A kind that
// cannot be watched because a permission is missing is tried again at the next reading.
func (w *Watches) Begin(ctx context.Context, r *workload.Reading) {
	for _, s := range r.Sources {
		if kind, ok := watched[s.Name]; ok && s.State == v1alpha1.WorkloadsRead {
			if err := w.begin(ctx, kind); err != nil {
				log.FromContext(ctx).Error(err, "Watching what deploys charts", "kind", kind.String())
			}
		}
	}
}

func (w *Watches) begin(ctx context.Context, kind schema.GroupKind) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun[kind] {
		return nil
	}
	mapping, err := w.Client.RESTMapper().RESTMapping(kind)
	if err != nil {
		return fmt.Errorf("finding the resource of %s: %w", kind, err)
	}
	if may, err := w.may(ctx, mapping.Resource); err != nil || !may {
		return err
	}
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(mapping.GroupVersionKind)
	informer, err := w.Cache.GetInformer(context.WithoutCancel(ctx), o, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching %s: %w", kind, err)
	}
	holder := kind.Kind + "." + kind.Group
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, is any) { w.changed(context.WithoutCancel(ctx), holder, is) },
		DeleteFunc: func(was any) { w.changed(context.WithoutCancel(ctx), holder, was) },
	}); err != nil {
		return fmt.Errorf("watching %s: %w", kind, err)
	}
	if w.begun == nil {
		w.begun = map[schema.GroupKind]bool{}
	}
	w.begun[kind] = true
	return nil
}

// may reports whether the manager may watch a resource in all
// namespaces. An informer without that permission would retry for ever.
func (w *Watches) may(ctx context.Context, resource schema.GroupVersionResource) (bool, error) {
	for _, verb := range []string{"list", "watch"} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: resource.Group, Resource: resource.Resource},
		}}
		if err := w.Client.Create(ctx, review); err != nil {
			return false, fmt.Errorf("asking whether nfo may %s %s: %w", verb, resource.GroupResource(), err)
		}
		if !review.Status.Allowed {
			return false, nil
		}
	}
	return true, nil
}

// changed wakes the manifests that are being deleted and that, by their status, an object holds.
func (w *Watches) changed(ctx context.Context, kind string, o any) {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	by, ok := o.(metav1.Object)
	if !ok {
		return
	}
	holder := reference.Object{Kind: kind, Namespace: by.GetNamespace(), Name: by.GetName()}
	for _, key := range []string{holder.String(), anyHolder} {
		var all v1alpha1.ArtifactManifestList
		if err := w.Client.List(ctx, &all, client.MatchingFields{waitingFor: key}, client.UnsafeDisableDeepCopy); err != nil { // they are only read
			log.FromContext(ctx).Error(err, "Finding what waits for it", "holder", holder.String())
			return
		}
		for _, m := range all.Items {
			select {
			case w.Wake <- event.GenericEvent{Object: &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name}}}:
			case <-w.Done:
				return
			}
		}
	}
}

const (
	// waitingFor is the field index of manifests by what their deletion waits for. It keeps
	// events cheap, because anybody may change an object of Flux or Argo CD without end.
	waitingFor = "status.dependents.waitingFor"
	// anyHolder is the key of the manifests that may wait for any object.
	anyHolder = "*"
)

// Index adds the index that Watches use to the cache.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return indexer.IndexField(ctx, &v1alpha1.ArtifactManifest{}, waitingFor, func(o client.Object) []string {
		if m, ok := o.(*v1alpha1.ArtifactManifest); ok {
			return waitsFor(m)
		}
		return nil
	})
}

// waitsFor returns the holders that a manifest's deletion waits for, by its
// status. A manifest with more holders than its status names may wait for any.
func waitsFor(m *v1alpha1.ArtifactManifest) (holders []string) {
	d := m.Status.Dependents
	switch {
	case m.DeletionTimestamp.IsZero():
		return nil
	case d.DependentCount != nil && int(*d.DependentCount) > len(d.Dependents):
		return []string{anyHolder}
	}
	for _, one := range d.Dependents {
		holders = append(holders, reference.Object{Kind: one.Kind, Namespace: one.Namespace, Name: one.Name}.String())
	}
	return holders
}
