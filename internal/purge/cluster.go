package purge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/reference"
)

// cluster is what the API server says that concerns one store.
type cluster struct {
	begun      time.Time // when its reading began
	now        time.Time // the API server's time, with which graces are compared
	store      *v1alpha1.ArtifactStore
	location   v1alpha1.RegistryLocation
	refusal    error                   // why the store must not be purged, or nil
	running    reading.Running         // what workloads run
	tombstones []*v1alpha1.Tombstone   // of this location, by name
	entries    map[string][]entry      // by repository: what is not consumed
	recorded   map[string][]graph.Root // by repository: digests in the status of manifests and definitions
	unseen     map[string][]string     // by repository: tags that a manifest lists of which no status says anything
	// homes are the repositories that the store's manifests have, or had, and whose they are (I9).
	homes map[string]*v1alpha1.TombstoneManifest
	// alive are the UIDs of the namespace's manifests.
	alive map[types.UID]bool
	// unresolved is since when purges have seen references unresolved, by repository and reference.
	unresolved map[[2]string]time.Time
}

// newCluster sorts what was read. It is pure.
func newCluster(r reading.Objects) cluster {
	c := cluster{begun: r.Begun, now: r.Now, entries: map[string][]entry{}, unresolved: map[[2]string]time.Time{}, alive: map[types.UID]bool{}, running: r.Running}
	key, stores, holders, tombstones := r.Key, r.Stores, r.Holders, r.Tombstones
	i := slices.IndexFunc(stores, func(s v1alpha1.ArtifactStore) bool { return s.Name == key.Name })
	if i < 0 {
		c.refusal = fmt.Errorf("%w: no store %s", ErrRefused, key)
		return c
	}
	c.store = &stores[i]
	if c.refusal = refuse(c.store, stores); c.refusal != nil {
		return c
	}
	// refuse has parsed it.
	c.location, _ = c.store.Location()
	held := hold(holders, c.location, stores)
	c.recorded, c.unseen, c.homes = held.recorded, held.unseen, c.homesOf(holders.Manifests())
	for _, m := range holders.Manifests() {
		c.alive[m.UID] = true
	}
	for _, u := range c.store.Status.Unresolved {
		c.unresolved[[2]string{u.Repository, u.TagOrDigest}] = u.Since.Time
	}
	for j := range tombstones {
		t := &tombstones[j]
		if l, err := v1alpha1.ParseRegistryURL(t.Spec.RegistryURL); err != nil || !l.Same(c.location) {
			continue
		}
		held.doubt = r.Definitions.Doubt(reading.HolderKinds, t.CreationTimestamp.Time, r.Now, reference.NeverMet)
		c.add(t, held)
	}
	c.run()
	if c.store.Spec.Workloads != nil && c.store.Spec.Mirror == nil && c.store.Generation != r.Running.Generation { // what was read may be another selection
		c.refusal = fmt.Errorf("%w: its spec has changed since it was read what workloads run; run the purge again", ErrRefused)
	}
	slices.SortFunc(c.tombstones, func(a, b *v1alpha1.Tombstone) int { return cmp.Compare(a.Name, b.Name) })
	for _, es := range c.entries {
		slices.SortFunc(es, func(a, b entry) int {
			return cmp.Or(cmp.Compare(a.tombstone.Name, b.tombstone.Name), cmp.Compare(a.Tag, b.Tag))
		})
	}
	return c
}

// add sorts a tombstone of the store's location.
func (c *cluster) add(t *v1alpha1.Tombstone, held holding) {
	c.tombstones = append(c.tombstones, t)
	for _, a := range t.Spec.Artifacts {
		if _, lives := c.homes[a.Repository]; !lives && c.location.Owns(t.Spec.Manifest.Name, a.Repository) {
			c.homes[a.Repository] = &t.Spec.Manifest
		}
		if e := newEntry(t, a); !e.consumed() {
			c.judge(&e, held)
			c.entries[a.Repository] = append(c.entries[a.Repository], e)
		}
	}
}

// homesOf finds the repositories of the store's manifests. StoreScoped ones have none of their own.
func (c cluster) homesOf(manifests []*v1alpha1.ArtifactManifest) map[string]*v1alpha1.TombstoneManifest {
	homes := map[string]*v1alpha1.TombstoneManifest{}
	for _, m := range manifests {
		if m.Spec.ArtifactStoreRef.Name != c.store.Name || m.Spec.UploadPath == v1alpha1.StoreScoped {
			continue
		}
		whose := &v1alpha1.TombstoneManifest{Name: m.Name, UID: m.UID, Spec: m.Spec}
		for _, a := range m.Spec.Artifacts {
			home := c.location.Repository(m.Name, v1alpha1.ManifestScoped, a.ArtifactName)
			if c.location.Owns(m.Name, home) {
				homes[home] = whose
			}
		}
	}
	return homes
}

// owns reports whether the repository is one that the entry's manifest has in this store (I9).
func (c cluster) owns(e *entry) bool {
	name := e.tombstone.Spec.Manifest.Name
	return name != "" && !strings.Contains(name, "/") && c.location.Owns(name, e.Repository)
}

// lose makes roots of the entries that may go and that f does not have.
func (c cluster) lose(f func(entry) bool) {
	for _, es := range c.entries {
		for i := range es {
			if e := &es[i]; e.mayGo() && !f(*e) {
				e.keep, e.because = Held, e.id()+" changed while the purge ran"
			}
		}
	}
}

func lastSegment(repository string) string { return repository[strings.LastIndex(repository, "/")+1:] }

// forgotten reports whether nothing is known of what became of an entry, and nobody is at work on it: its
// manifest has gone, and with it what a release would still do. So it is with tombstones that were
// restored from a backup without their status.
func (c cluster) forgotten(e entry) bool {
	return e.status.State == v1alpha1.TombstonePending && e.status.UntaggedAt == nil &&
		e.tombstone.Spec.Cause != v1alpha1.CauseFound && !c.lists(e.tombstone.Spec.Manifest.UID)
}

// lists reports whether a manifest is one of those that were read.
func (c cluster) lists(manifest types.UID) bool { return c.alive[manifest] }
