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

// Name is what the driver and the repository middleware are registered with distribution by.
const Name = "nfo"

// parameter is the key under which both get their Driver.
const parameter = "driver"

// DefaultGrace is how long something that was pushed, or that a pusher has seen, is kept with nothing that names it.
const DefaultGrace = time.Hour

// keptHeld bounds the memory of which links are young to about 20 MiB.
const keptHeld = 50_000

// Options are what New needs. Volume must be given.
type Options struct {
	Volume *volume.Volume
	// Grace must be at most the collection's: DefaultGrace unless given.
	Grace time.Duration
	// Platforms are those that the indexes of the repositories below Mirror must have; children of others may be absent.
	// Default: all.
	Platforms platform.List
	// Mirror is the first part of the names of the repositories that Platforms holds for.
	Mirror string
	// Log gets what an administrator must know of: content that is corrupt. Nil drops it.
	Log *slog.Logger
}

// Driver is safe for concurrent use.
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
	// blind is for the test that shows what the look is for.
	blind bool
}

// kept is a cache of that many entries, which is at least one.
func kept[K comparable, V any](entries int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](entries)
	if err != nil {
		panic(err)
	}
	return c
}

var _ storagedriver.StorageDriver = (*Driver)(nil)

// New makes a driver for a volume.
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
		manifests: kept[digest.Digest, parts](keptManifests), good: &verified{kept: kept[digest.Digest, stamp](keptVerified)},
		held: kept[string, time.Time](keptHeld), large: make(chan struct{}, atOnce),
	}
}

// Configure has a registry use the driver: without a cache, with deletion, and with each upload that fails removed.
func (d *Driver) Configure(config *configuration.Configuration) {
	config.Storage = configuration.Storage{
		Name:     {parameter: d},
		"delete": {"enabled": true}, "redirect": {"disable": true},
		// A collection removes old uploads, in one process and by the volume's own clock.
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}
	if len(d.platforms) > 0 {
		// The repository middleware refuses indexes that are not complete, in place of distribution: that knows no variants, and
		// panics at children without a platform.
		config.Validation.Manifests.Indexes.Platforms = "none"
	}
	if config.Middleware == nil {
		config.Middleware = map[string][]configuration.Middleware{}
	}
	config.Middleware["repository"] = append(config.Middleware["repository"],
		configuration.Middleware{Name: Name, Options: configuration.Parameters{parameter: d}})
}

func init() { factory.Register(Name, made{}) }

// made gives distribution the Driver that its configuration has.
type made struct{}

func (made) Create(_ context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	if d, ok := parameters[parameter].(*Driver); ok {
		return d, nil
	}
	return nil, errors.New("the storage driver of nfo is made by storage.New and set by its Configure")
}

// Name implements distribution's interface, as all methods here do.
func (*Driver) Name() string { return Name }

// RedirectURL is empty: clients read through the registry.
func (*Driver) RedirectURL(*http.Request, string) (string, error) { return "", nil }

// List leaves out tags that point at nothing: a push that ended between two writes, or a collection, left their folders.
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

// Walk goes through List and Stat of this driver.
func (d *Driver) Walk(ctx context.Context, from string, use storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	return storagedriver.WalkFallback(ctx, d, from, use, options...)
}

// Reader reads content as long as it is what its digest says.
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

// error is an error of a volume in distribution's terms.
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

// absent wraps fs.ErrNotExist, for what is there but cannot be used.
func absent(format string, a ...any) error {
	return fmt.Errorf("%w: %s", fs.ErrNotExist, strings.TrimSpace(fmt.Sprintf(format, a...)))
}
