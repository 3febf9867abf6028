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

// counts reports whether a store may decide how the images in its place are reached:
// its registry has answered once with these settings. Otherwise a tenant could
// create a store for the images of others and have them read over plain HTTP.
func counts(s *v1alpha1.ArtifactStore) bool {
	return !s.InClusterRegistry() && s.Settled() && backend.Inert(s) == nil
}

// byPrecedence sorts the stores that contain an image by which one decides how it is reached.
func byPrecedence(a, b v1alpha1.ArtifactStore) int {
	here, _ := a.Location() // both were parsed before
	there, _ := b.Location()
	return cmp.Or(
		cmp.Compare(len(there.Prefix), len(here.Prefix)),
		a.Status.FirstReadyTime.Compare(b.Status.FirstReadyTime.Time),
		strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name),
	)
}

// reach returns how to connect to the source of an image: as in the
// first store that contains it or, if no store does, over HTTPS.
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
	var whole v1alpha1.ArtifactStore // the cache does not keep certificates
	err = m.o.API.Get(ctx, client.ObjectKeyFromObject(&stores[0]), &whole)
	if err != nil && !apierrors.IsNotFound(err) {
		return at, fmt.Errorf("reading store %s/%s: %w", stores[0].Namespace, stores[0].Name, err)
	}
	at.ca = whole.Spec.Registry.CABundle
	return at, nil
}

// clientKey has everything that distinguishes the clients of sources.
type clientKey struct {
	namespace, host, login string
	plain                  bool
	ca                     [sha256.Size]byte
}

// client returns the client of a namespace for a source with a login. It reuses
// clients, so that connections and tokens are kept, and makes no request.
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

// transport wraps the transport of the requests to a source: it limits their rate and measures how long they take.
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
		if strings.Contains(req.URL.Path, "/blobs/") { // its time depends on its size
			return next.RoundTrip(req)
		}
		return timed.RoundTrip(req)
	})
}

// transport is an http.RoundTripper function.
type transport func(*http.Request) (*http.Response, error)

// RoundTrip sends a request.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) { return t(req) }

// limiter returns the rate limiter of a host, which all namespaces share.
func (m *Mirror) limiter(host string) *rate.Limiter {
	fresh := rate.NewLimiter(rate.Limit(m.o.RequestsPerSecond), max(1, int(2*m.o.RequestsPerSecond)))
	if have, known, _ := m.hosts.PeekOrAdd(host, fresh); known {
		return have
	}
	return fresh
}
