package livelist

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// maxTries bounds how often the versions are listed again because objects have changed meanwhile.
	maxTries = 3
	// fewChanged is how many changed objects are always read one by one. Of more, a list of all objects is read if they are
	// more than one in everyChanged.
	fewChanged, everyChanged = 64, 8
	// readsAtOnce is how many changed objects are read at the same time.
	readsAtOnce = 8
)

// remembered are the kinds of a Memory. All lists of one kind through a Memory must have the same Keep options.
var remembered = []string{v1alpha1.KindArtifactManifest, v1alpha1.KindDefinition, v1alpha1.KindDesign, v1alpha1.KindTombstone}

// Memory is a client for many lists of the same namespace, one after the other. To list manifests, definitions, designs or
// tombstones again, it lists only their versions, and reads the objects whose version has changed. A list is nevertheless a
// whole list that the API server has answered after the call: each object in it has the version that the API server listed,
// and an object has only one content of each version.
//
// Lists share their objects' slices, maps and pointers. A caller that changes an object must copy it before.
type Memory struct {
	*Client

	mu    sync.Mutex
	known map[place]map[string]client.Object // by the object's name
}

// place is a kind in a namespace.
type place struct{ kind, namespace string }

// NewMemory returns a Memory that wraps another client of the same API server.
func NewMemory(of *Client) *Memory {
	return &Memory{Client: of, known: map[place]map[string]client.Object{}}
}

// List lists objects as Client.List does. Lists of the remembered kinds always have all objects, also with a limit.
func (m *Memory) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(into, m.lists.scheme)
	if err != nil {
		return err
	}
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	at := place{gvk.Kind[:len(gvk.Kind)-len("List")], options.Namespace}
	if gvk.Group != v1alpha1.GroupVersion.Group || !slices.Contains(remembered, at.kind) || !m.lists.typed(into, gvk) ||
		options.Namespace == "" || options.LabelSelector != nil || options.FieldSelector != nil {
		return m.Client.List(ctx, into, opts...)
	}
	if done, err := m.again(ctx, at, gvk, into, m.lists.keep(opts)); done || err != nil {
		return err
	}
	if err := m.Client.List(ctx, into, append(slices.Clip(opts), client.Limit(0), client.Continue(""))...); err != nil {
		return err
	}
	m.learnAll(at, into)
	return nil
}

// again lists versions until every listed object is known at its version, and fills the list with these objects. It returns
// false if a list of all objects is cheaper, or if objects change faster than they are read.
func (m *Memory) again(ctx context.Context, at place, gvk schema.GroupVersionKind, into client.ObjectList, keep Keep) (done bool, err error) {
	for range maxTries {
		if m.count(at) == 0 {
			return false, nil
		}
		listed, meta, err := m.lists.versions(ctx, gvk, at.namespace)
		if err != nil {
			return false, err
		}
		changed := m.fill(at, into, listed, meta)
		if len(changed) == 0 {
			return true, nil
		}
		if len(changed) > max(fewChanged, len(listed)/everyChanged) {
			return false, nil
		}
		if err := m.read(ctx, at, into, changed, keep); err != nil {
			return false, err
		}
	}
	return false, nil
}

// version identifies the content of one object.
type version struct {
	name, resourceVersion string
	uid                   types.UID
}

func versionOf(o client.Object) version {
	return version{o.GetName(), o.GetResourceVersion(), o.GetUID()}
}

// versions lists the versions of all objects of a kind in a namespace.
func (r *Reader) versions(ctx context.Context, gvk schema.GroupVersionKind, namespace string) ([]version, metav1.ListMeta, error) {
	var all []version
	meta, err := r.pages(ctx, gvk, client.ListOptions{Namespace: namespace}, onlyMetadata, func(one Decoder) error {
		var o struct {
			Metadata struct {
				Name            string    `json:"name"`
				UID             types.UID `json:"uid"`
				ResourceVersion string    `json:"resourceVersion"`
			} `json:"metadata"`
		}
		if err := one.Decode(&o); err != nil {
			return err
		}
		if o.Metadata.Name == "" || o.Metadata.UID == "" || o.Metadata.ResourceVersion == "" {
			return fmt.Errorf("%w: an object has no name, no uid or no resourceVersion", errAnswer)
		}
		all = append(all, version{o.Metadata.Name, o.Metadata.ResourceVersion, o.Metadata.UID})
		return nil
	})
	return all, meta, err
}

// read reads objects one by one, and remembers them. An object that no longer exists is forgotten.
func (m *Memory) read(ctx context.Context, at place, into client.ObjectList, names []string, keep Keep) error {
	of := reflect.TypeOf(into).Elem()
	items, _ := of.FieldByName("Items")
	var reads errgroup.Group
	reads.SetLimit(readsAtOnce)
	for _, name := range names {
		reads.Go(func() error {
			o := reflect.New(items.Type.Elem()).Interface().(client.Object)
			err := m.Get(ctx, client.ObjectKey{Namespace: at.namespace, Name: name}, o)
			if apierrors.IsNotFound(err) {
				m.forget(at, name)
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading %s %s/%s: %w", at.kind, at.namespace, name, err)
			}
			keep(o)
			m.learn(at, o)
			return nil
		})
	}
	return reads.Wait()
}

// fill fills a list with the objects of these versions, and forgets all others. If some
// objects are not known at the listed version, it returns their names and changes nothing.
func (m *Memory) fill(at place, into client.ObjectList, listed []version, meta metav1.ListMeta) (changed []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, kept := m.known[at], make(map[string]client.Object, len(listed))
	for _, v := range listed {
		if o := known[v.name]; o == nil || versionOf(o) != v {
			changed = append(changed, v.name)
		}
	}
	if len(changed) > 0 {
		return changed
	}
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	items.Set(reflect.MakeSlice(items.Type(), 0, len(listed)))
	for _, v := range listed {
		kept[v.name] = known[v.name]
		items.Set(reflect.Append(items, reflect.ValueOf(known[v.name]).Elem()))
	}
	m.known[at] = kept
	into.SetResourceVersion(meta.ResourceVersion)
	into.SetContinue("")
	into.SetRemainingItemCount(nil)
	return nil
}

func (m *Memory) count(at place) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known[at])
}

func (m *Memory) learn(at place, o client.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[at] != nil {
		m.known[at][o.GetName()] = o
	}
}

func (m *Memory) forget(at place, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known[at], name)
}

// learnAll remembers the objects of a list of all objects, and no others.
func (m *Memory) learnAll(at place, list client.ObjectList) {
	items := reflect.ValueOf(list).Elem().FieldByName("Items")
	all := make(map[string]client.Object, items.Len())
	for i := range items.Len() {
		o := reflect.New(items.Type().Elem())
		o.Elem().Set(items.Index(i))
		object := o.Interface().(client.Object)
		all[object.GetName()] = object
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[at] = all
}

// Update updates an object as any client does, and remembers the result.
func (m *Memory) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	err := m.Client.Update(ctx, o, opts...)
	if err == nil {
		m.written(o)
	}
	return err
}

// Status returns a writer of statuses whose updates are remembered.
func (m *Memory) Status() client.SubResourceWriter { return statusMemory{m.Client.Status(), m} }

type statusMemory struct {
	client.SubResourceWriter
	memory *Memory
}

func (s statusMemory) Update(ctx context.Context, o client.Object, opts ...client.SubResourceUpdateOption) error {
	err := s.SubResourceWriter.Update(ctx, o, opts...)
	if err == nil {
		s.memory.written(o)
	}
	return err
}

// written remembers a copy of an object that the API server has answered to a write, so that the next list need not read it.
func (m *Memory) written(o client.Object) {
	gvk, err := apiutil.GVKForObject(o, m.lists.scheme)
	if err != nil || !slices.Contains(remembered, gvk.Kind) {
		return
	}
	saved := o.DeepCopyObject().(client.Object)
	m.lists.keep(nil)(saved)
	m.learn(place{gvk.Kind, o.GetNamespace()}, saved)
}
