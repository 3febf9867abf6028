package registrytest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // registers itself
	_ "github.com/distribution/distribution/v3/registry/auth/token"    // registers itself
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // registers itself
	"github.com/sirupsen/logrus"

	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// Handler serves a registry from a directory: the filesystem driver,
// deletion enabled, no login. The registry stops when ctx ends.
func Handler(ctx context.Context, dir string) (http.Handler, error) {
	return newApp(ctx, settings{dir: dir})
}

// The registry logs to the global logger of logrus, which nothing else in the process uses.
var quiet = sync.OnceFunc(func() { logrus.SetOutput(io.Discard) })

// newApp makes a registry. It turns the panics of distribution's constructor into errors.
func newApp(ctx context.Context, s settings) (app http.Handler, err error) {
	quiet()
	defer func() {
		if p := recover(); p != nil {
			app, err = nil, fmt.Errorf("starting a registry in %s: %v", s.dir, p)
		}
	}()
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem": {"rootdirectory": s.dir},
			"cache":      {"blobdescriptor": "inmemory"},
			"delete":     {"enabled": !s.deleteDisabled},
			"maintenance": {
				"uploadpurging": map[any]any{"enabled": false},
				"readonly":      map[any]any{"enabled": s.readOnly},
			},
		},
		Auth: s.auth,
	}
	if s.own {
		if err := own(config, s); err != nil {
			return nil, err
		}
	}
	config.HTTP.Secret = "for uploads in tests"
	config.Tags.MaxTags = s.maxTags
	config.Catalog.MaxEntries = 1000
	return handlers.NewApp(ctx, config), nil
}

// own replaces the storage in a configuration by the storage of `nfo registry`.
func own(config *configuration.Configuration, s settings) error {
	v, err := volume.Open(s.dir, volume.Options{})
	if err != nil {
		return err
	}
	storage.New(storage.Options{Volume: v}).Configure(config)
	config.Storage["delete"]["enabled"] = !s.deleteDisabled
	config.Storage["maintenance"]["readonly"] = map[any]any{"enabled": s.readOnly}
	return nil
}
