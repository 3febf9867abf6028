package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// With many manifests each pass that looks for images in others would read them all, so one reading of a
// store's manifests serves all passes for a while.
const (
	catalogueAge = 10 * time.Second // while no event has told of a change
	changedAge   = time.Second      // otherwise
)

// catalogue is what the manifests of a store list, by the last segment of its name.
type catalogue map[string][]listing

// listing is an artifact of a manifest.
type listing struct{ manifest, artifact, repository, version, digest string }

// find returns where another manifest has an image: preferably the one that was found before, so
// that what is held does not change, then one that is named by its path, then the first by name.
func (c catalogue) find(w wantedImage, self, before string) *listing {
	var best *listing
	rank := func(l *listing) int {
		switch {
		case l.manifest == before:
			return 0
		case slices.Contains(w.places, l.repository):
			return 1
		}
		return 2
	}
	all := c[lastSegment(w.name)]
	for i := range all {
		l := &all[i]
		named := w
		if l.artifact == w.name {
			named.places = append(slices.Clip(w.places), l.repository)
		}
		if l.manifest == self || !named.is(l.repository, l.version, l.digest) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(rank(l), rank(best)), cmp.Compare(l.manifest, best.manifest)) < 0 {
			best = l
		}
	}
	return best
}

func lastSegment(name string) string { return name[strings.LastIndex(name, "/")+1:] }

// catalogues keeps the catalogue of each store for a moment.
type catalogues struct {
	client.Reader
	clock clock.PassiveClock

	mu sync.Mutex
	of map[reference.Object]dated
	// changed is when an event has told of a change, by store and last segment of the artifact's name, if that
	// is not longer ago than a catalogue lasts.
	changed map[reference.Object]map[string]time.Time
}

// dated is a catalogue and when it was begun.
type dated struct {
	at time.Time
	catalogue
}

func newCatalogues(r client.Reader, c clock.PassiveClock) *catalogues {
	return &catalogues{Reader: r, clock: c, of: map[reference.Object]dated{}, changed: map[reference.Object]map[string]time.Time{}}
}

// get returns a store's catalogue for somebody who looks for artifacts of some names. Manifests that are being
// deleted are in it, and what has left a manifest and is not released: they may be held.
func (c *catalogues) get(ctx context.Context, s *v1alpha1.ArtifactStore, l v1alpha1.RegistryLocation, names []string) (dated, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, self := c.clock.Now(), reference.Self(s)
	maps.DeleteFunc(c.of, func(_ reference.Object, d dated) bool { return now.Sub(d.at) >= catalogueAge })
	if d, ok := c.of[self]; ok && (c.isCurrent(self, d, names) || now.Sub(d.at) < changedAge) {
		return d, nil
	}
	for store := range c.changed {
		c.tidy(store)
	}
	d := dated{now, catalogue{}}
	var all v1alpha1.ArtifactManifestList
	if err := c.List(ctx, &all, client.InNamespace(s.Namespace), client.MatchingFields{reference.Field: reference.Key(self)}, client.UnsafeDisableDeepCopy); err != nil {
		return dated{}, fmt.Errorf("listing the manifests of store %s: %w", s.Name, err)
	}
	for i := range all.Items {
		d.add(&all.Items[i], l)
	}
	c.of[self] = d
	return d, nil
}

// change notes that what the manifests of a store list of some names has changed.
func (c *catalogues) change(store reference.Object, names map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy(store)
	if c.changed[store] == nil {
		c.changed[store] = map[string]time.Time{}
	}
	for name := range names {
		c.changed[store][name] = c.clock.Now()
	}
}

// tidy forgets changes of a store that every catalogue has.
func (c *catalogues) tidy(store reference.Object) {
	maps.DeleteFunc(c.changed[store], func(_ string, at time.Time) bool { return c.clock.Since(at) >= catalogueAge })
	if len(c.changed[store]) == 0 {
		delete(c.changed, store)
	}
}

// current reports whether a store's catalogue has all changes to artifacts of some names that events have told of.
func (c *catalogues) current(store reference.Object, d dated, names []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isCurrent(store, d, names)
}

func (c *catalogues) isCurrent(store reference.Object, d dated, names []string) bool {
	missed := func(name string) bool {
		at, told := c.changed[store][name]
		return told && !at.Before(d.at)
	}
	return c.clock.Since(d.at) < catalogueAge && !slices.ContainsFunc(names, missed)
}

func (c catalogue) add(m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation) {
	for _, a := range wanted(m, l) {
		name := lastSegment(a.ArtifactName)
		c[name] = append(c[name], listing{m.Name, a.ArtifactName, a.Repository, a.ArtifactVersion, a.Digest})
	}
}

// imagesElsewhere is the field index of manifests by the last segment of images that their charts need
// and that they do not list.
const imagesElsewhere = "status.charts.images"

func wantsElsewhere(o client.Object) []string {
	m, ok := o.(*v1alpha1.ArtifactManifest)
	if !ok {
		return nil
	}
	names := map[string]bool{}
	for _, c := range m.Status.Charts {
		for _, i := range c.Images {
			if i.State == v1alpha1.ImageMissing || i.State == v1alpha1.ImageOtherManifest {
				names[lastSegment(parseWanted(i.Image).name)] = true
			}
		}
	}
	return slices.Collect(maps.Keys(names))
}

// wanting wakes the manifests whose charts need, from other manifests, what an object lists, or did. changed is
// told first.
func wanting(r client.Reader, changed func(store reference.Object, names map[string]bool)) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		m, ok := o.(*v1alpha1.ArtifactManifest)
		if !ok {
			return nil
		}
		// Before anybody is woken, and also for those who do not know yet that they need it.
		names := listedNames(m)
		changed(reference.Of(m)[0].To, names)
		var out []reconcile.Request
		for name := range names {
			out = append(out, wantedBy(ctx, r, m, name)...)
		}
		return out
	})
}

// listedNames are the last segments of what a manifest lists, or has not released yet.
func listedNames(m *v1alpha1.ArtifactManifest) map[string]bool {
	names := map[string]bool{}
	for _, a := range m.Spec.Artifacts {
		names[lastSegment(a.ArtifactName)] = true
	}
	for _, a := range m.Status.Artifacts {
		names[lastSegment(a.ArtifactName)] = true
	}
	return names
}

// wantedBy are the other manifests of the namespace whose charts need an image of a name elsewhere.
func wantedBy(ctx context.Context, r client.Reader, m *v1alpha1.ArtifactManifest, name string) []reconcile.Request {
	var l v1alpha1.ArtifactManifestList
	if err := r.List(ctx, &l, client.InNamespace(m.Namespace), client.MatchingFields{imagesElsewhere: name}, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "Finding whose charts to look at again", "image", name)
		return nil
	}
	var out []reconcile.Request
	for i := range l.Items {
		if l.Items[i].Name != m.Name {
			out = append(out, request(m.Namespace, l.Items[i].Name))
		}
	}
	return out
}
