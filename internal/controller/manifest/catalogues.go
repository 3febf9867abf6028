package manifest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
)

// One catalogue of a store's manifests serves all passes for a while. Otherwise each pass that
// looks for images in other manifests would read them all, which is slow with many manifests.
const (
	catalogueAge = 10 * time.Second // if no event has shown a change
	changedAge   = time.Second      // otherwise
)

// Catalogues caches the catalogue of each store for at most catalogueAge.
type Catalogues struct {
	client.Reader
	clock clock.PassiveClock

	mu sync.Mutex
	of map[reference.Object]dated
	// changed is when an event last showed a change, by store and last segment of the
	// artifact's name. tidy drops times older than catalogueAge.
	changed map[reference.Object]map[string]time.Time
	tidied  time.Time
}

// dated is a catalogue and the time at which its reading began.
type dated struct {
	at time.Time
	inventory.Catalogue
}

// NewCatalogues makes an empty cache of catalogues, which lists manifests with r.
func NewCatalogues(r client.Reader, c clock.PassiveClock) *Catalogues {
	return &Catalogues{Reader: r, clock: c, of: map[reference.Object]dated{}, changed: map[reference.Object]map[string]time.Time{}}
}

// get returns a store's catalogue for a caller that looks for artifacts with these names. The catalogue includes
// manifests that are being deleted, and entries that left a manifest and are not released yet, because both may be held.
func (c *Catalogues) get(ctx context.Context, s *v1alpha1.ArtifactStore, l v1alpha1.RegistryLocation, names []string) (dated, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, self := c.clock.Now(), reference.Self(s)
	maps.DeleteFunc(c.of, func(_ reference.Object, d dated) bool { return now.Sub(d.at) >= catalogueAge })
	if d, ok := c.of[self]; ok && (c.isCurrent(self, d, names) || now.Sub(d.at) < changedAge) {
		return d, nil
	}
	d := dated{now, inventory.Catalogue{}}
	var all v1alpha1.ArtifactManifestList
	if err := c.List(ctx, &all, client.InNamespace(s.Namespace), client.MatchingFields{reference.Field: reference.Key(self)}, client.UnsafeDisableDeepCopy); err != nil {
		return dated{}, fmt.Errorf("listing the manifests of store %s: %w", s.Name, err)
	}
	for i := range all.Items {
		d.Add(&all.Items[i], l)
	}
	c.of[self] = d
	return d, nil
}

// Change notes that the entries with these names have changed in the manifests of a store.
func (c *Catalogues) Change(store reference.Object, names map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	if c.changed[store] == nil {
		c.changed[store] = map[string]time.Time{}
	}
	for name := range names {
		c.changed[store][name] = c.clock.Now()
	}
}

// tidy drops the changes that every catalogue includes, at most once per catalogueAge.
// It covers all stores, because some never get a catalogue or another change.
func (c *Catalogues) tidy() {
	now := c.clock.Now()
	if now.Sub(c.tidied) < catalogueAge {
		return
	}
	c.tidied = now
	maps.DeleteFunc(c.changed, func(_ reference.Object, names map[string]time.Time) bool {
		maps.DeleteFunc(names, func(_ string, at time.Time) bool { return now.Sub(at) >= catalogueAge })
		return len(names) == 0
	})
}

// current reports whether a store's catalogue includes all changes to artifacts with these names that events have shown.
func (c *Catalogues) current(store reference.Object, d dated, names []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isCurrent(store, d, names)
}

func (c *Catalogues) isCurrent(store reference.Object, d dated, names []string) bool {
	missed := func(name string) bool {
		at, reported := c.changed[store][name]
		return reported && !at.Before(d.at)
	}
	return c.clock.Since(d.at) < catalogueAge && !slices.ContainsFunc(names, missed)
}
