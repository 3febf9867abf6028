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
	// maxClients bounds the sources that connections and tokens are kept for.
	maxClients = 256
	// maxHosts bounds the hosts whose rate of requests is known.
	maxHosts = 1024
	// maxWorked bounds the Artifacts of which is remembered with which login their source was read.
	maxWorked = 20_000
	// maxBlobs bounds the blobs of which is remembered where in the mirror they are.
	maxBlobs = 50_000
)

// Options are what a Mirror works with.
type Options struct {
	// API reads Secrets and whole ArtifactStores live.
	API client.Reader
	// Stores lists ArtifactStores, such as from a cache.
	Stores client.Reader
	// Open opens a store in the registry that nfo ships.
	Open func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error)
	// Budget bounds the memory for what is read, together with the other clients that have it.
	Budget *registry.Budget
	// Addresses are those that sources may have.
	Addresses registry.Addresses
	// Transport, when not nil, sees every request to a source.
	Transport func(http.RoundTripper) http.RoundTripper
	// Speeds learns how long sources take to answer; see Place.
	Speeds *lane.Speeds
	// SecondLook is as in registry.Config.
	SecondLook time.Duration
	// Platforms are those that are copied of an index; the registry must have the same. Default: all.
	Platforms platform.List
	// Blobs are how many blobs of one image are copied at a time. Default: 2.
	Blobs int
	// RequestsPerSecond bounds the requests to one source host. Default: 20.
	RequestsPerSecond float64
	// Stall is in what time 64 KiB of a blob have to move. Default: 30 seconds.
	Stall time.Duration
}

// Mirror copies images. It is safe for concurrent use.
type Mirror struct {
	o       Options
	lists   *lists
	clients *lru.Cache[clientKey, *registry.Client]
	hosts   *lru.Cache[string, *rate.Limiter]
	worked  *lru.Cache[types.UID, types.NamespacedName] // the Secret with which an Artifact's source was read last; zero for none
	blobs   *lru.Cache[digest.Digest, string]

	mu      sync.Mutex
	copying map[string]bool
}

// New makes a Mirror, which lists pods, what makes them, and ServiceAccounts of an API server. It sends nothing.
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

// Place is what stands for the source of an image in a lane: the namespace's part of one host.
func Place(namespace string, i rewrite.Image) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{}
	s.Namespace, s.UID = namespace, placeOf(namespace, i.Host)
	return s
}

func placeOf(namespace, host string) types.UID { return types.UID("source/" + namespace + "/" + host) }

// here selects what of an index is in the mirror: which children are absent on purpose is decided by the registry, which
// answers for no index that lacks another one.
var here = registry.Selection{Sparse: true}

// Has asks the mirror for an image at a tag or digest. The zero descriptor means that it is not there, or not all of it.
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

// Size is how many bytes the mirror has of an image that is there, with all platforms that are there. It reads its manifests.
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

// Tag moves the tag of an image in the mirror to a digest that is there, from over, "" for none. An image without a tag,
// or with a digest, gets none.
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

// begin reserves a digest of a repository, or returns false while it is being copied.
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
