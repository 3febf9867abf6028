package workload

import (
	"context"
	"errors"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

// informers is a cache with one informer.
type informers struct {
	cache.Cache
	one   *controllertest.FakeInformer
	asked []string
	fails error
}

func (c *informers) GetInformer(_ context.Context, o client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	c.asked = append(c.asked, o.GetObjectKind().GroupVersionKind().String())
	return c.one, c.fails
}

// TestBegin: a kind must be watched once it can be read and the manager
// may watch it, and from then on its objects must wake manifests.
func TestBegin(t *testing.T) {
	t.Parallel()
	read := func(name v1alpha1.WorkloadSource, state v1alpha1.WorkloadSourceState) *workload.Reading {
		return &workload.Reading{Sources: []v1alpha1.WorkloadSourceStatus{{Name: name, State: state}}}
	}
	down := errors.New("connection refused")
	flux := schema.GroupVersionKind{Group: "helm.toolkit.fluxcd.io", Version: "v2", Kind: "HelmRelease"}
	for name, tc := range map[string]struct {
		reason  string
		reading *workload.Reading
		may     map[string]bool // the allowed verbs
		review  error           // the error of asking for the permission
		cache   error
		watched bool
	}{
		"Watched":    {"it was read, and may be watched", read(v1alpha1.WorkloadFlux, v1alpha1.WorkloadsRead), map[string]bool{"list": true, "watch": true}, nil, nil, true},
		"OnlyList":   {"an informer would try for ever", read(v1alpha1.WorkloadFlux, v1alpha1.WorkloadsRead), map[string]bool{"list": true}, nil, nil, false},
		"NotRead":    {"it cannot be read", read(v1alpha1.WorkloadFlux, v1alpha1.WorkloadsDenied), map[string]bool{"list": true, "watch": true}, nil, nil, false},
		"Many":       {"what is many is not watched", read(v1alpha1.WorkloadPods, v1alpha1.WorkloadsRead), map[string]bool{"list": true, "watch": true}, nil, nil, false},
		"NotThere":   {"the API has no such kind", read(v1alpha1.WorkloadArgoCD, v1alpha1.WorkloadsRead), map[string]bool{"list": true, "watch": true}, nil, nil, false},
		"CannotAsk":  {"the API server does not say", read(v1alpha1.WorkloadFlux, v1alpha1.WorkloadsRead), nil, down, nil, false},
		"CannotList": {"the cache has none", read(v1alpha1.WorkloadFlux, v1alpha1.WorkloadsRead), map[string]bool{"list": true, "watch": true}, nil, down, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, err := reference.NewScheme()
			if err == nil {
				err = authorizationv1.AddToScheme(scheme)
			}
			if err != nil {
				t.Fatal(err)
			}
			mapper := apimeta.NewDefaultRESTMapper([]schema.GroupVersion{flux.GroupVersion()})
			mapper.Add(flux, apimeta.RESTScopeNamespace)
			held := v1alpha1.Dependent{Kind: release, Namespace: "ran", Name: "upf"}
			kube := fake.NewClientBuilder().WithScheme(scheme)
			if err := Index(t.Context(), indexes{kube}); err != nil {
				t.Fatal(err)
			}
			c := kube.WithRESTMapper(mapper).WithObjects(aManifest("waits", true, held)).WithInterceptorFuncs(interceptor.Funcs{
				Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
					review := o.(*authorizationv1.SelfSubjectAccessReview)
					review.Status.Allowed = tc.may[review.Spec.ResourceAttributes.Verb]
					return tc.review
				},
			}).Build()
			woken, of := make(chan event.GenericEvent, 4), &informers{one: controllertest.NewFakeInformer(), fails: tc.cache}
			w := &Watches{Client: c, Cache: of, Wake: woken}
			for range 2 {
				w.Begin(t.Context(), tc.reading)
			}
			o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "ran", Name: "upf"}}
			of.one.Update(o, o)
			of.one.Delete(o)
			if !tc.watched {
				if len(woken) > 0 {
					t.Errorf("%s: %d are woken", tc.reason, len(woken))
				}
				return
			}
			if len(of.asked) != 1 || of.asked[0] != flux.String() {
				t.Errorf("%s: informers of %v, want one of %s", tc.reason, of.asked, flux)
			}
			for _, what := range []string{"a change", "a deletion"} {
				select {
				case e := <-woken:
					if e.Object.GetName() != "waits" {
						t.Errorf("%s wakes %s", what, e.Object.GetName())
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s wakes nobody", what)
				}
			}
		})
	}
}
