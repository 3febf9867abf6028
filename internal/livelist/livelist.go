// Package livelist lists the product's objects from the API server, and reads one object at a time into memory.
//
// Contract: a list is whole or an error, as with any other reader (I2). A cache that fills through [Reader.Informers]
// has the whole list or is not filled. What is dropped of an object is dropped before the next object is read, so
// that a list takes only the memory of what its reader keeps, whatever users have written into their objects.
//
// Decision: answers are decoded as a stream. Rejected: small pages, because a page of 500 objects
// can have 750 MiB, and pages of 10 objects turn an ordinary list into thousands of requests.
//
// Decision: caches fill from such lists, too. Rejected: a watch that begins with all objects, as in
// client-go, because it parses each object three times: to find its end, as an event, and as an object.
//
// Decision: a program that lists the same objects again and again, such as a purge for each of its waves, remembers them in a
// [Memory] and lists only their versions: that costs the API server and the program a sixth of a list of whole objects.
// Rejected: a cache that a watch fills, because it cannot show that it has everything that was written before a moment.
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

// pageSize is how many objects one request lists if the caller sets no limit.
const pageSize = 500

// errAnswer is wrapped if the API server's answer is not the requested list.
var errAnswer = errors.New("the answer is not a whole list")

// Keep drops from an object of a list what the caller does not need. It
// is a list option of a Reader. Other readers ignore it and drop nothing.
type Keep func(client.Object)

// ApplyToList does nothing. A Reader looks for Keep among its options.
func (Keep) ApplyToList(*client.ListOptions) {}

// Reader reads lists of the product's kinds as streams, and everything else through the reader
// that it wraps. Its streamed lists have no managedFields. It is safe for concurrent use.
type Reader struct {
	client.Reader
	api    rest.Interface
	scheme *runtime.Scheme
	mapper apimeta.RESTMapper
	trim   Keep
}

// New returns a Reader that wraps another reader of the same API
// server. trim, if not nil, is applied to the objects of every list.
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

// Get reads one object. For a name that no object can have, it returns NotFound. The wrapped reader
// would return an error of the request, and an object that references the name would wait forever.
func (r *Reader) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	for _, part := range []string{key.Namespace, key.Name} {
		if len(content.IsPathSegmentName(part)) > 0 {
			gvk, err := apiutil.GVKForObject(into, r.scheme)
			return errors.Join(err, apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, v1alpha1.Line(key.Name)))
		}
	}
	return r.Reader.Get(ctx, key, into, opts...)
}

// Client is a client that gets and lists as a Reader does.
type Client struct {
	client.Client
	lists *Reader
}

// NewClient returns a Client that wraps another client of the same API server. trim is as in New.
func NewClient(of client.Client, kube *rest.Config, trim Keep) (*Client, error) {
	through, err := rest.HTTPClientFor(kube)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server for lists: %w", err)
	}
	lists, err := New(of, kube, through, of.Scheme(), of.RESTMapper(), trim)
	return &Client{of, lists}, err
}

// Get reads one object as Reader.Get does.
func (c *Client) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	return c.lists.Get(ctx, key, into, opts...)
}

// List lists objects as Reader.List does.
func (c *Client) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	return c.lists.List(ctx, into, opts...)
}

// List lists objects: one page if the options have a limit, and
// otherwise all. After an error, the list may have some of the objects.
func (r *Reader) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(into, r.scheme)
	if err != nil || gvk.Group != v1alpha1.GroupVersion.Group || !r.typed(into, gvk) {
		return r.Reader.List(ctx, into, opts...)
	}
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	keep := r.keep(opts)
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	items.SetZero()
	blank := func() client.Object { return reflect.New(items.Type().Elem()).Interface().(client.Object) }
	meta, err := r.pages(ctx, gvk, options, wholeObjects, decoded(blank, func(o client.Object) error {
		keep(o)
		items.Set(reflect.Append(items, reflect.ValueOf(o).Elem()))
		return nil
	}))
	if err != nil {
		return err
	}
	into.SetResourceVersion(meta.ResourceVersion)
	into.SetContinue(meta.Continue)
	into.SetRemainingItemCount(meta.RemainingItemCount)
	return nil
}

// typed reports whether an object or list has the Go type that the scheme has for its kind.
func (r *Reader) typed(into runtime.Object, gvk schema.GroupVersionKind) bool {
	of, err := r.scheme.New(gvk)
	return err == nil && reflect.TypeOf(of) == reflect.TypeOf(into)
}

// keep returns a function that drops everything that is to be dropped of each object of a list.
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

// form is what a list has of each object.
type form int

const (
	wholeObjects form = iota
	onlyMetadata
)

// pages reads one page if the options have a limit, and otherwise all pages. It calls each once for every
// object, with the decoder that reads the object. It returns the metadata of the last page.
func (r *Reader) pages(ctx context.Context, gvk schema.GroupVersionKind, options client.ListOptions, of form, each func(Decoder) error) (metav1.ListMeta, error) {
	single := gvk.Kind[:len(gvk.Kind)-len("List")]
	mapping, err := r.mapper.RESTMapping(schema.GroupKind{Group: gvk.Group, Kind: single}, gvk.Version)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	all := options.Limit == 0
	if all {
		options.Limit = pageSize
	}
	for {
		kind := gvk.Kind
		q := r.api.Get().NamespaceIfScoped(options.Namespace, options.Namespace != "").Resource(mapping.Resource.Resource).
			VersionedParams(options.AsListOptions(), runtime.NewParameterCodec(r.scheme))
		if of == onlyMetadata {
			kind = "PartialObjectMetadataList"
			q.SetHeader("Accept", "application/json;as="+kind+";g=meta.k8s.io;v=v1")
		}
		meta, err := Page(ctx, q, kind, each)
		if err != nil || !all || meta.Continue == "" {
			return meta, err
		}
		options.Continue = meta.Continue
	}
}

// decoded returns a function that decodes each object into a blank one and gives it away before the next object is read.
func decoded(blank func() client.Object, give func(client.Object) error) func(Decoder) error {
	return func(one Decoder) error {
		o := blank()
		if err := one.Decode(o); err != nil {
			return err
		}
		return give(o)
	}
}

// Decoder is the part of a json.Decoder that reads one object of a list.
type Decoder interface{ Decode(into any) error }

// Decode reads a list and calls each once for every object, with the decoder that
// reads it. It returns an error if the input is not a whole list of the kind.
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

// elements reads the objects of a list. null is an empty list.
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
