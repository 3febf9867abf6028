package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/sirupsen/logrus"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/mark"
	"github.com/nfo-operator/nfo/internal/clusterregistry/scrub"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/platform"
)

// Options configure New. Either Volume or Storage is required.
type Options struct {
	Volume *volume.Volume
	// Storage is the section "storage" of distribution's configuration, and is used
	// instead of a volume. The content is then served as distribution does: without
	// deep presence, healing, referrers, disk guard, usage, scrub and collection.
	Storage configuration.Storage
	// Access decides who may do what. If it is nil, everyone may do everything.
	Access *access.Controller
	// Secret signs the state of uploads. It must be the same in all processes that serve the volume. Default: random.
	Secret string
	// Guard defines when uploads are refused.
	Guard Guard
	// Requests is the maximum number of concurrent requests. Default: 256. One client may have a quarter of them; a
	// client is a user, all ServiceAccounts of a namespace, or an address (for IPv6, a /64). Other requests wait for at
	// most 10 seconds. If twice this number of one client wait, the next ones are refused at once.
	Requests int
	// Collection configures how the volume is collected. Its grace period is also that of the storage.
	Collection collect.Options
	// Scrub configures the scrub, which reads the content again to find corruption. A negative period disables it.
	Scrub scrub.Options
	// MirrorPlatforms are the platforms that indexes in the mirror must have; children of other platforms may be
	// missing. They require a volume. Default: all platforms are required.
	MirrorPlatforms platform.List
	// Log receives what an administrator must know.
	Log *slog.Logger
}

const defaultRequests = 256

// Registry answers requests on one volume, or on other storage.
type Registry struct {
	o            Options
	driver       *storage.Driver
	foreign      *foreign // used instead of the driver
	app          *handlers.App
	handler      http.Handler
	collector    *collector
	unreferenced *mark.Unreferenced
	prober       *prober
	turns        *turns
	counters     *counters
}

// New creates a registry. It serves requests until Close. Run must run at the same time.
func New(ctx context.Context, o Options) (*Registry, error) {
	if o.Requests == 0 {
		o.Requests = defaultRequests
	}
	if o.Secret == "" {
		o.Secret = rand.Text()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Guard = o.Guard.withDefaults()
	r := &Registry{o: o, turns: newTurns(o.Requests), counters: newCounters()}
	if err := r.keepContent(ctx); err != nil {
		return nil, err
	}
	r.turns.refused = r.counters.busy.Inc
	if o.Access != nil {
		r.turns.client = o.Access.Client
	}
	config, err := r.configuration()
	if err != nil {
		return nil, err
	}
	if r.app, err = newApp(ctx, config); err != nil {
		return nil, err
	}
	r.handler = r.chain()
	return r, nil
}

// keepContent sets up where the content is stored: a volume, or a storage driver of distribution.
func (r *Registry) keepContent(ctx context.Context) (err error) {
	o := r.o
	if o.Storage != nil {
		if len(o.MirrorPlatforms) > 0 {
			return errors.New("chosen platforms of the mirror need a volume: on other storage nothing checks what an index needs")
		}
		if r.foreign, err = newForeign(ctx, o.Storage); err != nil {
			return err
		}
		r.prober = &prober{log: o.Log, probe: func() error { return r.foreign.probe(ctx) }}
		return nil
	}
	if o.Collection.Workers == 0 && o.Volume.Kind() == volume.Local {
		// The processors are needed for clients. On a network file system, workers mostly wait.
		o.Collection.Workers = 1
	}
	r.driver = storage.New(storage.Options{
		Volume: o.Volume, Grace: o.Collection.Grace, Platforms: o.MirrorPlatforms, Mirror: v1alpha1.MirrorPrefix, Log: o.Log,
	})
	r.prober = &prober{log: o.Log, probe: o.probe}
	r.collector = &collector{counters: r.counters, volume: o.Volume, options: o.Collection, log: o.Log, wake: make(chan request, 1)}
	r.unreferenced, err = collect.NewUnreferenced(o.Volume, o.Collection)
	return err
}

// probe probes the volume, and creates the reserve for the time when the volume is full.
func (o Options) probe() error {
	err := o.Volume.Probe()
	if err == nil {
		_ = o.Volume.Reserve() // The next probe tries again.
	}
	return err
}

func (r *Registry) configuration() (*configuration.Configuration, error) {
	config := &configuration.Configuration{}
	config.HTTP.Secret = r.o.Secret
	config.HTTP.RelativeURLs = true
	config.Catalog.MaxEntries = 1000
	if r.foreign != nil {
		config.Storage = r.foreign.config
	} else {
		r.driver.Configure(config)
	}
	if r.o.Access != nil {
		var err error
		if config.Auth, err = r.o.Access.Configuration(); err != nil {
			return nil, fmt.Errorf("setting up access: %w", err)
		}
	}
	return config, nil
}

// newApp creates distribution's registry. It discards distribution's log, which has an entry for each request.
func newApp(ctx context.Context, config *configuration.Configuration) (app *handlers.App, err error) {
	logrus.SetOutput(io.Discard)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("setting up distribution's registry: %v", r)
		}
	}()
	return handlers.NewApp(ctx, config), nil
}

// chain returns the handlers that a request passes through.
func (r *Registry) chain() http.Handler {
	var api http.Handler = r.app
	if r.foreign == nil {
		api = r.guarded(r.referrers(r.subjects(r.app)))
	}
	routes := http.NewServeMux()
	routes.Handle("/v2/", api)
	routes.Handle(adminPath, r.admin())
	var h http.Handler = routes
	if r.o.Access != nil {
		h = access.Handler(h)
	}
	return patient(r.turns.limit(careful(h)))
}

// Handler returns the handler that answers clients.
func (r *Registry) Handler() http.Handler { return r.handler }

// shutdownTime is how long Run waits for its goroutines after ctx has ended. In that time a collection restores what it
// has hidden. Goroutines that hang because the volume does not answer are abandoned.
const shutdownTime = 30 * time.Second

// Run probes the volume, scrubs it, and runs the requested collections, until ctx ends. Other storage is only probed.
func (r *Registry) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { r.prober.run(ctx) })
	if r.foreign == nil {
		if r.o.Scrub.Period >= 0 {
			all.Go(func() { r.scrub(ctx) })
		}
		all.Go(func() { r.collector.run(ctx) })
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		all.Wait()
	}()
	<-ctx.Done()
	select {
	case <-ended:
		return nil
	case <-time.After(shutdownTime):
		return errors.New("the volume does not answer: what was being done on it is left, and the next collection gives back what was hidden")
	}
}

// Ready returns an error unless the volume answers. A full or read-only volume is ready, for pulls.
func (r *Registry) Ready(*http.Request) error { return r.prober.ready(time.Now()) }

// Close stops distribution's background tasks.
func (r *Registry) Close() error { return r.app.Shutdown() }
