package serve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/distribution/distribution/v3/configuration"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
)

// noVolume is the answer to requests for usage and collection if the content is not on a volume.
const noVolume = "this registry stores its content by a storage driver of distribution: it cannot report how full that is, and cannot collect. " +
	"What was deleted is freed by the means of that storage"

// foreign is content in a storage driver of distribution instead of a volume. It behaves as distribution's drivers do.
type foreign struct {
	driver storagedriver.StorageDriver
	config configuration.Storage
}

// newForeign creates a second instance of the driver for probes, because distribution does not expose its own.
func newForeign(ctx context.Context, s configuration.Storage) (*foreign, error) {
	config := maps.Clone(s)
	// Cached descriptors would answer for content that another replica has deleted.
	delete(config, "cache")
	for name, option := range map[string]configuration.Parameters{"delete": {"enabled": true}, "redirect": {"disable": true}} {
		if config[name] == nil {
			config[name] = option
		}
	}
	driver, err := factory.Create(ctx, config.Type(), config.Parameters())
	if unknown := (factory.InvalidStorageDriverError{}); errors.As(err, &unknown) {
		return nil, fmt.Errorf("this program has no storage driver %.100q: s3 needs a program that was built with the tag s3", unknown.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("setting up the storage driver %s: %w", config.Type(), err)
	}
	return &foreign{driver: driver, config: config}, nil
}

// probe checks that the storage answers. "/" need not exist.
func (f *foreign) probe(ctx context.Context) error {
	_, err := f.driver.Stat(ctx, "/")
	if errors.As(err, &storagedriver.PathNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the storage driver %s does not answer: %w", f.driver.Name(), err)
	}
	return nil
}

// onVolume answers 501 if the registry is not on a volume.
func (r *Registry) onVolume(next http.HandlerFunc) http.HandlerFunc {
	if r.o.Storage == nil {
		return next
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotImplemented, "UNSUPPORTED", noVolume)
	}
}
