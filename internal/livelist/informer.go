package livelist

import (
	"context"
	"errors"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ahead is how many objects are read before the cache has taken the
// first of them. It is small because each object may have a megabyte.
const ahead = 1

// Informers returns a function that creates the informers of a cache for one namespace,
// or "" for all; see cache.Options.NewInformer. Informers of the product's kinds fill
// from streamed lists, which takes half as long as a watch that begins with all objects.
func (r *Reader) Informers(namespace string) func(toolscache.ListerWatcher, runtime.Object, time.Duration, toolscache.Indexers) toolscache.SharedIndexInformer {
	return func(from toolscache.ListerWatcher, of runtime.Object, resync time.Duration, by toolscache.Indexers) toolscache.SharedIndexInformer {
		gvk, err := apiutil.GVKForObject(of, r.scheme)
		if err == nil && gvk.Group == v1alpha1.GroupVersion.Group && r.typed(of, gvk) {
			s := &source{toolscache.ToListerWatcherWithContext(from), r, namespace, gvk, reflect.TypeOf(of).Elem()}
			from = &toolscache.ListWatch{ListWithContextFunc: s.ListWithContext, WatchFuncWithContext: s.watch}
		}
		return toolscache.NewSharedIndexInformer(from, of, resync, by)
	}
}

// source is the list and watch of an informer of one kind. It streams lists.
type source struct {
	toolscache.ListerWatcherWithContext
	lists     *Reader
	namespace string
	kind      schema.GroupVersionKind
	of        reflect.Type
}

// watch serves a watch that is to begin with all objects: it sends the
// objects of a list, the bookmark that ends them, and the events after that.
func (s *source) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents == nil || !*o.SendInitialEvents {
		return s.WatchWithContext(ctx, o)
	}
	o.SendInitialEvents, o.ResourceVersionMatch, o.ResourceVersion = nil, "", ""
	ctx, end := context.WithCancel(ctx)
	f := &filling{events: make(chan watch.Event, ahead), end: end}
	go func() {
		defer end()
		defer close(f.events)
		if err := s.fill(ctx, f, o); err != nil {
			_ = f.send(ctx, watch.Event{Type: watch.Error, Object: statusOf(err)}) // fails only if the watch was stopped
		}
	}()
	return f, nil
}

// statusOf returns an error as the status in a watch event. Errors that are not from
// the API server become TooManyRequests, after which an informer waits and fills again
// in the same way. After other errors it would request the whole list in one answer.
func statusOf(err error) *metav1.Status {
	said := apierrors.APIStatus(apierrors.NewTooManyRequests(err.Error(), 1))
	errors.As(err, &said)
	status := said.Status()
	return &status
}

// fill sends all objects, the bookmark, and then the events, until the watch or ctx ends.
func (s *source) fill(ctx context.Context, f *filling, o metav1.ListOptions) error {
	kind := s.kind.GroupVersion().WithKind(s.kind.Kind + "List")
	meta, err := s.lists.pages(ctx, kind, client.ListOptions{Namespace: s.namespace}, wholeObjects, decoded(s.blank, func(one client.Object) error {
		one.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // as in the events of a typed watch
		return f.send(ctx, watch.Event{Type: watch.Added, Object: one})
	}))
	if err != nil {
		return err
	}
	all := s.blank()
	all.SetResourceVersion(meta.ResourceVersion)
	all.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	if err := f.send(ctx, watch.Event{Type: watch.Bookmark, Object: all}); err != nil {
		return nil
	}
	o.ResourceVersion = meta.ResourceVersion
	after, err := s.WatchWithContext(ctx, o)
	if err != nil {
		return err
	}
	defer after.Stop()
	for event := range after.ResultChan() {
		if f.send(ctx, event) != nil {
			return nil
		}
	}
	return nil
}

// blank returns an empty object of the kind.
func (s *source) blank() client.Object { return reflect.New(s.of).Interface().(client.Object) }

// filling is a watch that a source serves.
type filling struct {
	events chan watch.Event
	end    context.CancelFunc
}

func (f *filling) ResultChan() <-chan watch.Event { return f.events }

func (f *filling) Stop() { f.end() }

// send sends an event. It returns an error if the watch was stopped.
func (f *filling) send(ctx context.Context, event watch.Event) error {
	select {
	case f.events <- event:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
