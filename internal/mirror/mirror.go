package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// ErrBusy means that the same digest is being copied to the same repository for another Artifact.
var ErrBusy = errors.New("the same image is being copied for another Artifact")

// Defaults of Options.
const (
	defaultBlobs    = 2
	defaultRequests = 20
	defaultStall    = 30 * time.Second
)

const (
	// maxClients bounds the clients of sources, which keep connections and tokens.
	maxClients = 256
	// maxHosts bounds the hosts that have a rate limiter.
	maxHosts = 1024
	// maxWorked bounds the Artifacts for which the login that worked last is remembered.
	maxWorked = 20_000
	// maxBlobs bounds the blobs whose repository in the mirror is remembered.
	maxBlobs = 50_000
)

// Options are the settings and dependencies of a Mirror.
type Options struct {
	// API reads Secrets and complete ArtifactStores live.
	API client.Reader
	// Stores lists ArtifactStores; it may be a cache.
	Stores client.Reader
	// Open opens a store in the registry that nfo ships.
	Open func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error)
	// Budget bounds the memory for what clients read; other clients may share it.
	Budget *registry.Budget
	// Addresses are the addresses that sources may have.
	Addresses registry.Addresses
	// Transport, if not nil, wraps the transport of every request to a source.
	Transport func(http.RoundTripper) http.RoundTripper
	// Speeds records how long sources take to answer; see Place.
	Speeds *lane.Speeds
	// SecondLook is as in registry.Config.
	SecondLook time.Duration
	// Platforms are the platforms of an index that are copied; the registry must have the same list. Default: all.
	Platforms platform.List
	// Blobs is the number of blobs of one image that are copied at the same time. Default: 2.
	Blobs int
	// RequestsPerSecond bounds the requests to one source host. Default: 20.
	RequestsPerSecond float64
	// Stall is the time in which at least 64 KiB of a blob must be transferred. Default: 30 seconds.
	Stall time.Duration
}

// Mirror copies images. It is safe for concurrent use.
type Mirror struct {
	o       Options
	lists   *lists
	clients *lru.Cache[clientKey, *registry.Client]
	hosts   *lru.Cache[string, *rate.Limiter]
	worked  *lru.Cache[types.UID, types.NamespacedName] // the Secret that worked last for an Artifact; zero for no login
	blobs   *lru.Cache[digest.Digest, string]

	mu      sync.Mutex
	copying map[string]bool
}

// New returns a Mirror that lists pods, the objects that create them,
// and ServiceAccounts from an API server. New makes no request.
func New(kube *rest.Config, through *http.Client, o Options) (*Mirror, error) {
	o.Blobs = cmp.Or(o.Blobs, defaultBlobs)
	o.RequestsPerSecond = cmp.Or(o.RequestsPerSecond, defaultRequests)
	o.Stall = cmp.Or(o.Stall, defaultStall)
	m := &Mirror{o: o, copying: map[string]bool{}}
	var errs [5]error
	m.clients, errs[0] = lru.NewWithEvict(maxClients, func(_ clientKey, c *registry.Client) { c.Close() })
	m.hosts, errs[1] = lru.New[string, *rate.Limiter](maxHosts)
	m.worked, errs[2] = lru.New[types.UID, types.NamespacedName](maxWorked)
	m.blobs, errs[3] = lru.New[digest.Digest, string](maxBlobs)
	m.lists, errs[4] = newLists(kube, through)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("making the mirror: %w", err)
	}
	return m, nil
}

// Place returns a stand-in store for the source of an image, for package lane: one for each namespace and host.
func Place(namespace string, i rewrite.Image) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{}
	s.Namespace, s.UID = namespace, placeOf(namespace, i.Host)
	return s
}

func placeOf(namespace, host string) types.UID { return types.UID("source/" + namespace + "/" + host) }

// here is the selection for reading an index from the mirror. Children may be missing there on purpose. The registry
// decides which: it does not answer for an index if any other child is missing.
var here = registry.Selection{Sparse: true}

// Has returns the descriptor of an image in the mirror at a tag or digest. It is the
// zero descriptor if the mirror does not have the image, or not completely.
func (m *Mirror) Has(ctx context.Context, mirror *v1alpha1.ArtifactStore, i rewrite.Image, reference string) (ocispec.Descriptor, error) {
	to, err := m.o.Open(ctx, mirror)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d, err := to.Resolve(ctx, i.MirrorRepository(), reference)
	if errors.Is(err, registry.ErrNotFound) {
		return ocispec.Descriptor{}, nil
	}
	return d, err
}

// Size returns the size in bytes of an image in the mirror, with
// all platforms that the mirror has. It reads the manifests.
func (m *Mirror) Size(ctx context.Context, mirror *v1alpha1.ArtifactStore, i rewrite.Image, d digest.Digest) (int64, error) {
	to, err := m.o.Open(ctx, mirror)
	if err != nil {
		return 0, err
	}
	s, err := to.SourceWith(ctx, i.MirrorRepository(), d.String(), here)
	if err != nil {
		return 0, err
	}
	return s.Size, nil
}

// Tag moves the tag of an image in the mirror to a digest that the mirror has. over is the digest that the tag has now,
// "" for none. An image that has no tag, or that has a digest, is not tagged.
func (m *Mirror) Tag(ctx context.Context, mirror *v1alpha1.ArtifactStore, i rewrite.Image, d, over digest.Digest) error {
	if i.Tag == "" || i.Digest != "" {
		return nil
	}
	to, err := m.o.Open(ctx, mirror)
	if err != nil {
		return err
	}
	s, err := to.SourceWith(ctx, i.MirrorRepository(), d.String(), here)
	if err != nil {
		return err
	}
	return to.Tag(ctx, i.MirrorRepository(), i.Tag, s, over)
}

// begin reserves a digest of a repository for a copy. It returns false while another copy has the reservation.
func (m *Mirror) begin(repository string, d digest.Digest) (end func(), ok bool) {
	key := repository + "@" + d.String()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.copying[key] {
		return nil, false
	}
	m.copying[key] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.copying, key)
	}, true
}
