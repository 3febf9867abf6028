package controller

import (
	"net/http"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/controller/artifact"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/mirror"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
)

// DefaultCopies is how many images are copied at once by default.
const DefaultCopies = 3

// MirrorBounds bounds the copying of images into the mirror. Zero fields mean their defaults.
type MirrorBounds struct {
	// Copies is how many images are copied at once. Default: 3.
	Copies int
	// Blobs is how many blobs of one image are copied at once. Default: 2.
	Blobs int
	// Platforms are the platforms of an index that are copied. Default: all.
	Platforms platform.List
	// RequestsPerSecond is the most requests to one source host. Default: 20.
	RequestsPerSecond float64
}

// setupArtifact registers the controller of Artifacts, with or without
// a mirror. Without a mirror and without Artifacts, it does nothing.
func setupArtifact(mgr manager.Manager, in entry, o Options, live client.Reader, registries *backend.Registries, timed *lane.Speeds) error {
	copier, err := mirror.New(mgr.GetConfig(), mgr.GetHTTPClient(), mirror.Options{
		API: live, Stores: mgr.GetClient(), Open: registries.Open, Budget: registries.Budget(), Addresses: registry.AddressesOf(o.Purger.AllowLoopback),
		Transport: o.counted, Speeds: timed, SecondLook: o.SecondLook, Platforms: o.Mirror.Platforms, Blobs: o.Mirror.Blobs, RequestsPerSecond: o.Mirror.RequestsPerSecond,
	})
	if err != nil {
		return err
	}
	key := client.ObjectKey{Namespace: o.Namespace, Name: v1alpha1.MirrorName}
	r, err := artifact.New(artifact.Reconciler{
		Client: mgr.GetClient(), Live: live, Mirror: copier, Store: key, Rules: o.MirrorFacts.Rules, Events: mgr.GetEventRecorder("nfo"), Clock: o.Clock, Now: o.now,
	}, timed, o.Mirror.Copies)
	if err != nil {
		return err
	}
	r.Checks.Observe(o.journal.Waits("checks"))
	r.Copies.Observe(o.journal.Waits("copies"))
	b := ctrl.NewControllerManagedBy(mgr).Named("artifact").
		For(&v1alpha1.Artifact{}, builder.WithPredicates(wake.LifeOrState())).
		Watches(&v1alpha1.ArtifactStore{}, wake.Artifacts(mgr.GetClient(), key), builder.WithPredicates(wake.LifeOrReadiness())).
		WatchesRawSource(source.Channel(r.Woken, &handler.EnqueueRequestForObject{}))
	return complete(b, in, reconcile.AsReconciler(mgr.GetClient(), r), artifact.Workers+o.Mirror.Copies)
}

// counted returns the transport to the sources of the mirror. Its requests are not counted for any store.
func (o Options) counted(next http.RoundTripper) http.RoundTripper {
	if o.Transport != nil {
		next = o.Transport(next)
	}
	return o.journal.Requests(types.NamespacedName{}, next)
}
