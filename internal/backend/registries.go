package backend

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

// budgetParts limits the registries of one namespace to a quarter of the memory for content that is being read.
const budgetParts = 4

// Registries opens stores and reuses their clients, so that connections and bearer tokens are shared by all passes
// that use a store. It reads the Secret each time, uncached, so that a changed password takes effect at once.
type Registries struct {
	api        client.Reader
	wrap       func(http.RoundTripper) http.RoundTripper
	speeds     *lane.Speeds
	secondLook time.Duration // see registry.Config
	budget     *registry.Budget
	addresses  registry.Addresses
	cluster    registry.ClusterRegistry
	counted    func(types.NamespacedName, http.RoundTripper) http.RoundTripper

	mu   sync.Mutex
	open map[types.UID]opened
	// forgotten is the number of calls of Forget. A client that was being opened
	// during such a call is not kept, because its store may have been deleted.
	forgotten int
}

type opened struct {
	from   string // the versions of the store and its Secret that the client was made from
	client *registry.Client
}

// NewRegistries returns an empty pool. wrap, if not nil, wraps every request to a
// registry, and timed learns how long each request takes. secondLook and addresses are as
// in registry.Config. cluster says how stores in the cluster's own registry are reached.
func NewRegistries(api client.Reader, wrap func(http.RoundTripper) http.RoundTripper, timed *lane.Speeds, secondLook time.Duration, addresses registry.Addresses, cluster registry.ClusterRegistry) *Registries {
	return &Registries{
		api: api, wrap: wrap, speeds: timed, secondLook: secondLook, addresses: addresses, cluster: cluster, budget: registry.NewBudget(budgetParts), open: map[types.UID]opened{},
	}
}

// Count wraps the transport of each store with f, which counts the store's
// requests, and returns the pool. It must be called before the pool is used.
func (r *Registries) Count(f func(store types.NamespacedName, next http.RoundTripper) http.RoundTripper) *Registries {
	r.counted = f
	return r
}

// Open returns the client of a store. A store that is being deleted keeps its last credentials if its Secret is
// deleted with it, as by `kubectl delete -f` of both. After a restart these are lost, and the error says which Secret
// to create again. Errors of a store in the cluster's own registry are those of registry.ClusterRegistry.Describe.
func (r *Registries) Open(ctx context.Context, s *v1alpha1.ArtifactStore) (*registry.Client, error) {
	r.mu.Lock()
	have, known := r.open[s.UID]
	forgotten := r.forgotten
	r.mu.Unlock()

	secret, err := r.secret(ctx, s)
	switch {
	case errors.Is(err, ErrSecretNotFound) && known && !s.DeletionTimestamp.IsZero():
		return have.client, nil
	case err != nil:
		return nil, err
	}
	at := v1alpha1.ArtifactStore{ObjectMeta: s.ObjectMeta, Spec: s.Spec}
	if err := r.cluster.Describe(&at); err != nil {
		return nil, err
	}
	from := version(&at, secret)
	if known && have.from == from {
		return have.client, nil
	}
	whole, err := r.whole(ctx, s)
	if err != nil {
		return nil, err
	}
	whole.Status = at.Status
	opening, err := r.connect(whole, secret)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forgotten == forgotten {
		r.open[s.UID] = opened{from: from, client: opening}
	}
	return opening, nil
}

// secret reads the Secret that a store references, or returns nil if it references none. The error wraps ErrSecretNotFound.
func (r *Registries) secret(ctx context.Context, s *v1alpha1.ArtifactStore) (*corev1.Secret, error) {
	ref := s.Spec.Registry.CredentialsSecretRef
	if ref == nil {
		return nil, nil
	}
	secret := &corev1.Secret{}
	err := r.api.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: ref.Name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("reading Secret %s/%s named by credentialsSecretRef: %w; create it, or change the reference", s.Namespace, ref.Name, ErrSecretNotFound)
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s/%s: %w", s.Namespace, ref.Name, err)
	}
	return secret, nil
}

// version returns a string that changes whenever the client must be made again.
func version(s *v1alpha1.ArtifactStore, secret *corev1.Secret) string {
	from := fmt.Sprintf("%s/%d", s.UID, s.Generation)
	if secret != nil {
		from += "/" + string(secret.UID) + "/" + secret.ResourceVersion
	}
	if s.InClusterRegistry() {
		from += fmt.Sprintf("/%s/%x", s.Status.URL, sha256.Sum256(s.Status.CABundle))
	}
	return from
}

// connect makes a client. It sends no request.
func (r *Registries) connect(s *v1alpha1.ArtifactStore, secret *corev1.Secret) (*registry.Client, error) {
	cfg, err := registry.ConfigOf(s, secret)
	if err != nil {
		return nil, err
	}
	if pem := cfg.CABundle; len(pem) > 0 && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("opening %s: %w", cfg.Location.Host, ErrCABundle)
	}
	if s.InClusterRegistry() {
		cfg.TokenFile = r.cluster.TokenFile
	}
	cfg.SecondLook, cfg.Budget, cfg.Addresses = r.secondLook, r.budget, r.addresses
	cfg.Transport = func(next http.RoundTripper) http.RoundTripper {
		if r.wrap != nil {
			next = r.wrap(next)
		}
		if r.counted != nil {
			next = r.counted(client.ObjectKeyFromObject(s), next)
		}
		return r.speeds.Timed(s.UID, next)
	}
	return registry.Open(cfg)
}

// whole reads a store with its certificates, which neither the cache nor a list
// has. The error wraps reference.ErrSuperseded if the store no longer exists.
func (r *Registries) whole(ctx context.Context, s *v1alpha1.ArtifactStore) (*v1alpha1.ArtifactStore, error) {
	var now v1alpha1.ArtifactStore
	err := r.api.Get(ctx, client.ObjectKeyFromObject(s), &now)
	if apierrors.IsNotFound(err) || err == nil && now.UID != s.UID {
		err = reference.ErrSuperseded
	}
	if err != nil {
		return nil, fmt.Errorf("reading store %s/%s: %w", s.Namespace, s.Name, err)
	}
	return &now, nil
}

// Budget returns the budget that bounds the memory of what is read from all stores. Other readers of registries share it.
func (r *Registries) Budget() *registry.Budget { return r.budget }

// Forget drops the client of a store that no longer exists.
func (r *Registries) Forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, uid)
	r.forgotten++
}
