package mirror

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// counts reports whether a store says how the images in its place are reached: its registry has answered in this way
// once. Otherwise somebody could have images of others read over plain HTTP by making a store there.
func counts(s *v1alpha1.ArtifactStore) bool {
	return !s.InClusterRegistry() && s.Settled() && backend.Inert(s) == nil
}

// byPrecedence sorts stores by which one says how an image is reached.
func byPrecedence(a, b v1alpha1.ArtifactStore) int {
	here, _ := a.Location() // both were read before
	there, _ := b.Location()
	return cmp.Or(
		cmp.Compare(len(there.Prefix), len(here.Prefix)),
		a.Status.FirstReadyTime.Compare(b.Status.FirstReadyTime.Time),
		strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name),
	)
}

// reach says how the source of an image is connected to: as the store says that contains it or, without one, over HTTPS.
func (m *Mirror) reach(ctx context.Context, i rewrite.Image) (reached, error) {
	at := reached{location: v1alpha1.RegistryLocation{Host: i.Host, Prefix: i.Repository}}
	stores, err := m.storesOf(ctx, i)
	if err != nil || len(stores) == 0 {
		return at, err
	}
	here, err := stores[0].Location()
	if err != nil {
		return at, fmt.Errorf("reading where store %s/%s is: %w", stores[0].Namespace, stores[0].Name, err)
	}
	at.location.PlainHTTP = here.PlainHTTP
	var whole v1alpha1.ArtifactStore // a cache has no certificates
	err = m.o.API.Get(ctx, client.ObjectKeyFromObject(&stores[0]), &whole)
	if err != nil && !apierrors.IsNotFound(err) {
		return at, fmt.Errorf("reading store %s/%s: %w", stores[0].Namespace, stores[0].Name, err)
	}
	at.ca = whole.Spec.Registry.CABundle
	return at, nil
}

// clientKey is what a client of a source is made of.
type clientKey struct {
	namespace, host, login string
	plain                  bool
	ca                     [sha256.Size]byte
}

// client returns the client of a namespace for a source with a login, so that connections and tokens are kept. It sends
// nothing.
func (m *Mirror) client(q Question, at reached, l login) (*registry.Client, error) {
	key := clientKey{namespace: q.Namespace, host: at.host(), login: l.version, plain: at.location.PlainHTTP, ca: sha256.Sum256(at.ca)}
	if c, ok := m.clients.Get(key); ok {
		return c, nil
	}
	whole := at.location
	whole.Prefix = ""
	c, err := registry.Open(registry.Config{
		Location: whole, Credential: l.credential, CABundle: at.ca, Addresses: m.o.Addresses, Budget: m.o.Budget, Tenant: q.Namespace, SecondLook: m.o.SecondLook,
		Transport: func(next http.RoundTripper) http.RoundTripper { return m.transport(q, at, next) },
	})
	if err == nil {
		m.clients.Add(key, c)
	}
	return c, err
}

// transport is what the requests to a source go through.
func (m *Mirror) transport(q Question, at reached, next http.RoundTripper) http.RoundTripper {
	if m.o.Transport != nil {
		next = m.o.Transport(next)
	}
	timed := next
	if m.o.Speeds != nil {
		timed = m.o.Speeds.Timed(Place(q.Namespace, q.Image).UID, next)
	}
	limit := m.limiter(at.host())
	return transport(func(req *http.Request) (*http.Response, error) {
		if err := limit.Wait(req.Context()); err != nil {
			return nil, fmt.Errorf("waiting for the next request to %s: %w", at.location.Host, err)
		}
		if strings.Contains(req.URL.Path, "/blobs/") { // which takes as long as it is large
			return next.RoundTrip(req)
		}
		return timed.RoundTrip(req)
	})
}

// transport is a function that sends requests.
type transport func(*http.Request) (*http.Response, error)

// RoundTrip sends a request.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) { return t(req) }

// limiter is a host's, for all who ask it.
func (m *Mirror) limiter(host string) *rate.Limiter {
	fresh := rate.NewLimiter(rate.Limit(m.o.RequestsPerSecond), max(1, int(2*m.o.RequestsPerSecond)))
	if have, known, _ := m.hosts.PeekOrAdd(host, fresh); known {
		return have
	}
	return fresh
}
