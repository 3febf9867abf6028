// Package livelist lists the product's objects from the API server with one of them in memory at a time.
//
// Contract: a list is whole or an error, as that of any other reader (I2), and a cache that fills by [Reader.Informers] has
// all of a list or is not filled. What is dropped of an object is dropped before the next one is read, so that a list costs
// what its reader keeps of it, whatever others have written into their objects.
//
// Decision: the answers are decoded as a stream. Rejected: small pages, for a page of 500 objects can have 750 MiB,
// and pages of 10 make thousands of requests of an ordinary list.
//
// Decision: caches fill from such lists, too. Rejected: a watch that begins with all objects, as client-go has it: it scans
// each object for where it ends, once more as an event, and once more as an object.
package livelist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/json"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// pageSize is how many objects one request lists where the caller asks for no number.
const pageSize = 500

// errAnswer: the API server's answer is not the list that was asked for.
var errAnswer = errors.New("the answer is not a whole list")

// Keep drops from an object of a list what the list's reader does not need. It is a list option of a Reader; other
// readers ignore it and keep everything.
type Keep func(client.Object)

// ApplyToList does nothing: a Reader looks for it among its options.
func (Keep) ApplyToList(*client.ListOptions) {}

// Reader reads lists of the product's kinds as streams, and everything else as the reader that it wraps. It never
// keeps managedFields. It is safe for concurrent use.
type Reader struct {
	client.Reader
	api    rest.Interface
	scheme *runtime.Scheme
	mapper apimeta.RESTMapper
	trim   Keep
}

// New makes a Reader beside another one, for the same API server. trim, when not nil, is the Keep of every list.
func New(beside client.Reader, kube *rest.Config, through *http.Client, scheme *runtime.Scheme, mapper apimeta.RESTMapper, trim Keep) (*Reader, error) {
	api, err := apiutil.RESTClientForGVK(v1alpha1.GroupVersion.WithKind(""), true, false, kube, serializer.NewCodecFactory(scheme), through)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server for lists: %w", err)
	}
	if trim == nil {
		trim = func(client.Object) {}
	}
	return &Reader{Reader: beside, api: api, scheme: scheme, mapper: mapper, trim: trim}, nil
}

// Get reads one object. What no object can be called does not exist: the wrapped reader says that it cannot be asked
// for, which would keep who names it waiting for ever.
func (r *Reader) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	for _, part := range []string{key.Namespace, key.Name} {
		if len(content.IsPathSegmentName(part)) > 0 {
			gvk, err := apiutil.GVKForObject(into, r.scheme)
			return errors.Join(err, apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, v1alpha1.Line(key.Name)))
		}
	}
	return r.Reader.Get(ctx, key, into, opts...)
}

// Client is a client whose lists are those of a Reader.
type Client struct {
	client.Client
	lists *Reader
}

// NewClient makes a Client of another one, for the same API server. trim is as in New.
func NewClient(of client.Client, kube *rest.Config, trim Keep) (*Client, error) {
	through, err := rest.HTTPClientFor(kube)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server for lists: %w", err)
	}
	lists, err := New(of, kube, through, of.Scheme(), of.RESTMapper(), trim)
	return &Client{of, lists}, err
}

// Get reads as a Reader does.
func (c *Client) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	return c.lists.Get(ctx, key, into, opts...)
}

// List lists as a Reader does.
func (c *Client) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	return c.lists.List(ctx, into, opts...)
}

// List lists objects: one page if the options have a limit, and else all. A list that fails may have some objects.
func (r *Reader) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(into, r.scheme)
	if err != nil || gvk.Group != v1alpha1.GroupVersion.Group || !r.typed(into, gvk) {
		return r.Reader.List(ctx, into, opts...)
	}
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	all, keep := options.Limit == 0, r.keep(opts)
	if all {
		options.Limit = pageSize
	}
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	items.SetZero()
	blank := func() client.Object { return reflect.New(items.Type().Elem()).Interface().(client.Object) }
	for {
		meta, err := r.page(ctx, gvk, options, blank, func(o client.Object) error {
			keep(o)
			items.Set(reflect.Append(items, reflect.ValueOf(o).Elem()))
			return nil
		})
		if err != nil {
			return err
		}
		into.SetResourceVersion(meta.ResourceVersion)
		into.SetContinue(meta.Continue)
		into.SetRemainingItemCount(meta.RemainingItemCount)
		if options.Continue = meta.Continue; !all || meta.Continue == "" {
			return nil
		}
	}
}

// typed reports whether an object or list is of the Go type that the scheme has for its kind.
func (r *Reader) typed(into runtime.Object, gvk schema.GroupVersionKind) bool {
	of, err := r.scheme.New(gvk)
	return err == nil && reflect.TypeOf(of) == reflect.TypeOf(into)
}

// keep is all that is dropped of each object of a list.
func (r *Reader) keep(opts []client.ListOption) Keep {
	return func(o client.Object) {
		o.SetManagedFields(nil)
		r.trim(o)
		for _, opt := range opts {
			if k, ok := opt.(Keep); ok {
				k(o)
			}
		}
	}
}

// page reads one answer, each object into a blank one, and gives it away before it reads the next one.
func (r *Reader) page(ctx context.Context, gvk schema.GroupVersionKind, options client.ListOptions, blank func() client.Object, give func(client.Object) error) (metav1.ListMeta, error) {
	single := gvk.Kind[:len(gvk.Kind)-len("List")]
	mapping, err := r.mapper.RESTMapping(schema.GroupKind{Group: gvk.Group, Kind: single}, gvk.Version)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	q := r.api.Get().NamespaceIfScoped(options.Namespace, options.Namespace != "").Resource(mapping.Resource.Resource).
		VersionedParams(options.AsListOptions(), runtime.NewParameterCodec(r.scheme))
	return Page(ctx, q, gvk.Kind, func(one Decoder) error {
		o := blank()
		if err := one.Decode(o); err != nil {
			return err
		}
		return give(o)
	})
}

// Decoder is what of a json.Decoder reads one object of a list.
type Decoder interface{ Decode(into any) error }

// Decode reads a list and gives the decoder to each, once for every object. It is an error if it is not a whole list of
// a kind.
func Decode(from io.Reader, kind string, each func(Decoder) error) (meta metav1.ListMeta, err error) {
	list := json.NewDecoderCaseSensitivePreserveInts(from)
	if begin, err := list.Token(); err != nil || fmt.Sprint(begin) != "{" {
		return meta, fmt.Errorf("%w: %w", errAnswer, errors.Join(err, errors.New("it does not begin as an object")))
	}
	var seen []string
	for list.More() {
		key, err := list.Token()
		if err != nil {
			return meta, fmt.Errorf("%w: %w", errAnswer, err)
		}
		name := fmt.Sprint(key)
		seen = append(seen, name)
		if err := field(list, name, kind, &meta, each); err != nil {
			return meta, fmt.Errorf("%w: %s: %w", errAnswer, name, err)
		}
	}
	if _, err := list.Token(); err != nil {
		return meta, fmt.Errorf("%w: %w", errAnswer, err)
	}
	for _, must := range []string{"kind", "metadata", "items"} {
		if !slices.Contains(seen, must) {
			return meta, fmt.Errorf("%w: it has no %s", errAnswer, must)
		}
	}
	return meta, nil
}

// field reads one field of a list.
func field(list json.Decoder, name, kind string, meta *metav1.ListMeta, each func(Decoder) error) error {
	switch name {
	case "kind":
		var is string
		if err := list.Decode(&is); err != nil || is != kind {
			return errors.Join(err, fmt.Errorf("it is a %.100q", is))
		}
		return nil
	case "metadata":
		return list.Decode(meta)
	case "items":
		return elements(list, each)
	}
	var ignored any
	return list.Decode(&ignored)
}

// elements reads the objects of a list. null is an empty one.
func elements(list json.Decoder, each func(Decoder) error) error {
	begin, err := list.Token()
	if err != nil || begin == nil {
		return err
	}
	if fmt.Sprint(begin) != "[" {
		return errors.New("no list")
	}
	for list.More() {
		if err := each(list); err != nil {
			return err
		}
	}
	_, err = list.Token()
	return err
}
