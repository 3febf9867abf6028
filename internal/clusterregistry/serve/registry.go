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

// Options are what New needs. Volume must be given, or Storage.
type Options struct {
	Volume *volume.Volume
	// Storage is the section storage of distribution's configuration, in place of a volume. The content is then served as
	// distribution does it: without deep presence, healing, referrers, guard of the disk, usage, scrub and collection.
	Storage configuration.Storage
	// Access says who may do what. Nil stands for: everybody, everything.
	Access *access.Controller
	// Secret signs the state of uploads: the same in all processes that serve the volume. Random unless given.
	Secret string
	// Guard is when uploads are refused.
	Guard Guard
	// Requests is how many are answered at a time: 256 unless given, a quarter of them for one client, which is a user,
	// all ServiceAccounts of a namespace, or an address. Others wait for at most 10 seconds.
	Requests int
	// Collection is how the volume is collected. Its grace is also the storage's.
	Collection collect.Options
	// Scrub is how the content is read again, to find what has become corrupt. A negative period: not at all.
	Scrub scrub.Options
	// MirrorPlatforms are those that the indexes in the mirror must have, whose other children may be absent. They need a
	// volume. Default: all.
	MirrorPlatforms platform.List
	// Log gets what an administrator must know of.
	Log *slog.Logger
}

const defaultRequests = 256

// Registry answers requests on one volume, or on other storage.
type Registry struct {
	o            Options
	driver       *storage.Driver
	foreign      *foreign // in place of the driver
	app          *handlers.App
	handler      http.Handler
	collector    *collector
	unreferenced *mark.Unreferenced
	prober       *prober
	turns        *turns
	counters     *counters
}

// New makes a registry. Requests are answered until Close; Run must run beside.
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

// keepContent sets up what the content is kept in: a volume, or a storage driver of distribution.
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
		// The processors are for clients. On a network file system a worker waits, mostly.
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

// probe tries the volume. A volume that works has a reserve, for when it is full.
func (o Options) probe() error {
	err := o.Volume.Probe()
	if err == nil {
		_ = o.Volume.Reserve() // It is tried again with the next probe.
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

// newApp is distribution's program, whose own log says per request what this package's callers do not need.
func newApp(ctx context.Context, config *configuration.Configuration) (app *handlers.App, err error) {
	logrus.SetOutput(io.Discard)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("setting up distribution's registry: %v", r)
		}
	}()
	return handlers.NewApp(ctx, config), nil
}

// chain is what a request passes on its way.
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

// Handler answers clients.
func (r *Registry) Handler() http.Handler { return r.handler }

// ending is how long Run waits for what it has begun, after ctx has ended. A collection gives back what it has hidden in
// that time; what hangs because the volume does not answer is left.
const ending = 30 * time.Second

// Run probes the volume, scrubs it, and collects it when asked, until ctx ends. Other storage is probed only.
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
	case <-time.After(ending):
		return errors.New("the volume does not answer: what was being done on it is left, and the next collection gives back what was hidden")
	}
}

// Ready is an error while the volume is not known to answer. A volume that is full or read-only is ready, for pulls.
func (r *Registry) Ready(*http.Request) error { return r.prober.ready(time.Now()) }

// Close ends what distribution runs beside its requests.
func (r *Registry) Close() error { return r.app.Shutdown() }
