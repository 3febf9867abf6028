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

// With many manifests each pass that looks for images in others would read them all, so one reading of a
// store's manifests serves all passes for a while.
const (
	catalogueAge = 10 * time.Second // while no event has shown a change
	changedAge   = time.Second      // otherwise
)

// Catalogues keeps the catalogue of each store for a moment.
type Catalogues struct {
	client.Reader
	clock clock.PassiveClock

	mu sync.Mutex
	of map[reference.Object]dated
	// changed is when an event has shown a change, by store and last segment of the artifact's name, if that
	// is not longer ago than two catalogues last.
	changed map[reference.Object]map[string]time.Time
	tidied  time.Time
}

// dated is a catalogue and when it was begun.
type dated struct {
	at time.Time
	inventory.Catalogue
}

// NewCatalogues makes an empty store of them, which lists manifests with r.
func NewCatalogues(r client.Reader, c clock.PassiveClock) *Catalogues {
	return &Catalogues{Reader: r, clock: c, of: map[reference.Object]dated{}, changed: map[reference.Object]map[string]time.Time{}}
}

// get returns a store's catalogue for somebody who looks for artifacts of some names. Manifests that are being
// deleted are in it, and what has left a manifest and is not released: they may be held.
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

// Change notes that what the manifests of a store list of some names has changed.
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

// tidy forgets the changes that every catalogue has, once in the age of a catalogue. It looks at all stores: of some nobody
// ever makes a catalogue, or makes another change.
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

// current reports whether a store's catalogue has all changes to artifacts of some names that events have shown.
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
