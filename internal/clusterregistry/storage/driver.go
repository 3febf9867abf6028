package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/platform"
)

// Name is the name under which the driver and the repository middleware are registered with distribution.
const Name = "nfo"

// parameter is the key under which both receive their Driver.
const parameter = "driver"

// DefaultGrace is how long unreferenced content is kept after
// it was pushed, or after a client learned that it is present.
const DefaultGrace = time.Hour

// keptHeld bounds the memory for the links that are known to be young to about 20 MiB.
const keptHeld = 50_000

// Options configure New. Volume is required.
type Options struct {
	Volume *volume.Volume
	// Grace must be at most the grace period of the collection. Default: DefaultGrace.
	Grace time.Duration
	// Platforms are the platforms that indexes in the repositories below Mirror must have. Children of other platforms
	// may be missing. Default: all platforms are required.
	Platforms platform.List
	// Mirror is the first path component of the repositories that Platforms applies to.
	Mirror string
	// Log receives what an administrator must know, such as corrupt content. Nil discards it.
	Log *slog.Logger
}

// Driver is distribution's storage driver on one volume. It is safe for concurrent use.
type Driver struct {
	storagedriver.StorageDriver
	volume    *volume.Volume
	grace     time.Duration
	platforms platform.List
	mirror    string
	log       *slog.Logger
	manifests *lru.Cache[digest.Digest, parts]
	good      *verified
	held      *lru.Cache[string, time.Time]
	large     chan struct{}
	// blind switches off the check after publication, for the test that shows what is lost without it.
	blind bool
}

// newCache returns an LRU cache. It panics if entries is not positive.
func newCache[K comparable, V any](entries int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](entries)
	if err != nil {
		panic(err)
	}
	return c
}

var _ storagedriver.StorageDriver = (*Driver)(nil)

// New returns a driver for a volume.
func New(o Options) *Driver {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	files := filesystem.New(filesystem.DriverParameters{RootDirectory: o.Volume.Root(), MaxThreads: 256})
	return &Driver{
		StorageDriver: files, volume: o.Volume, grace: o.Grace, platforms: o.Platforms, mirror: o.Mirror, log: o.Log,
		manifests: newCache[digest.Digest, parts](keptManifests), good: &verified{kept: newCache[digest.Digest, stamp](keptVerified)},
		held: newCache[string, time.Time](keptHeld), large: make(chan struct{}, atOnce),
	}
}

// Configure sets the driver as a registry's storage: without a descriptor
// cache, with deletion, and with the middleware that removes failed uploads.
func (d *Driver) Configure(config *configuration.Configuration) {
	config.Storage = configuration.Storage{
		Name:     {parameter: d},
		"delete": {"enabled": true}, "redirect": {"disable": true},
		// A collection removes old uploads, by the volume's clock and not in each replica.
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}
	if len(d.platforms) > 0 {
		// The repository middleware refuses incomplete indexes instead of distribution, whose own check ignores
		// variants, and panics if a child has no platform.
		config.Validation.Manifests.Indexes.Platforms = "none"
	}
	if config.Middleware == nil {
		config.Middleware = map[string][]configuration.Middleware{}
	}
	config.Middleware["repository"] = append(config.Middleware["repository"],
		configuration.Middleware{Name: Name, Options: configuration.Parameters{parameter: d}})
}

func init() { factory.Register(Name, made{}) }

// made is the factory that returns the Driver in distribution's configuration.
type made struct{}

func (made) Create(_ context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	if d, ok := parameters[parameter].(*Driver); ok {
		return d, nil
	}
	return nil, errors.New("the storage driver of nfo is made by storage.New and set by its Configure")
}

// Name implements distribution's interface, as all methods here do.
func (*Driver) Name() string { return Name }

// RedirectURL returns "": clients read through the registry.
func (*Driver) RedirectURL(*http.Request, string) (string, error) { return "", nil }

// List leaves out tags without a link. Their folders remain after
// a push that ended between two writes, or after a collection.
func (d *Driver) List(_ context.Context, folder string) ([]string, error) {
	if _, err := d.volume.Stat(folder); err != nil {
		return nil, d.error(folder, err)
	}
	entries, err := d.volume.List(folder)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	repository, isTags := layout.RepositoryOfTags(folder)
	for _, e := range entries {
		if isTags {
			if _, err := d.volume.Find(layout.TagPath(repository, e.Name())); errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		names = append(names, path.Join(folder, e.Name()))
	}
	return names, nil
}

// Walk uses List and Stat of this driver.
func (d *Driver) Walk(ctx context.Context, from string, use storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	return storagedriver.WalkFallback(ctx, d, from, use, options...)
}

// Reader reads a file. For a blob that is read from its start and is not yet
// verified, it fails before the last byte if the content does not match the digest.
func (d *Driver) Reader(ctx context.Context, file string, offset int64) (io.ReadCloser, error) {
	p := layout.Parse(file)
	if p.Kind != layout.Blob {
		r, err := d.StorageDriver.Reader(ctx, file, offset)
		return r, d.error(file, err)
	}
	info, err := d.blob(p.Digest)
	if err != nil {
		return nil, d.error(file, err)
	}
	f, err := d.volume.Open(file)
	if err != nil {
		return nil, d.error(file, err)
	}
	if offset > 0 || d.good.has(p.Digest, info) {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	return d.checking(f, p.Digest)
}

// error translates an error of the volume into distribution's errors.
func (d *Driver) error(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return storagedriver.PathNotFoundError{Path: file, DriverName: Name}
	}
	var wrapped storagedriver.Error
	if errors.As(err, &wrapped) && wrapped.Detail != nil {
		return fmt.Errorf("%w", wrapped.Detail)
	}
	return err
}

// absent returns an error that wraps fs.ErrNotExist, for a file that exists but cannot be used.
func absent(format string, a ...any) error {
	return fmt.Errorf("%w: %s", fs.ErrNotExist, strings.TrimSpace(fmt.Sprintf(format, a...)))
}
