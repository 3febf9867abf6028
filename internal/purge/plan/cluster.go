package plan

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

// Cluster is what the API server stores that concerns one store.
type Cluster struct {
	// Begun is when the reading of the cluster began.
	Begun time.Time
	// Now is the API server's time, with which grace periods are compared.
	Now time.Time
	// Store is the store; nil if it does not exist.
	Store *v1alpha1.ArtifactStore
	// Location is the location of the store's registry.
	Location v1alpha1.RegistryLocation
	// Refusal says why the store must not be purged; nil if it may be.
	Refusal error
	// Running is what the workloads run that the store selects.
	Running reading.Running
	// Tombstones are the tombstones of this location, by name.
	Tombstones []*v1alpha1.Tombstone
	// Entries are the entries that are neither restored nor purged, by repository.
	Entries map[string][]Entry
	// Recorded are the digests in the status of manifests and
	// definitions, and those that workloads reference, by repository.
	Recorded map[string][]graph.Root
	// unseen are the tags listed by manifests whose status has no artifacts, by repository.
	unseen map[string][]string
	// Homes are the repositories that the store's manifests have or had, each with its manifest (I9).
	Homes map[string]*v1alpha1.TombstoneManifest
	// alive has the UIDs of the manifests that exist in the namespace.
	alive map[types.UID]bool
	// unresolved has the time since which purges have seen a reference unresolved, by repository and reference.
	unresolved map[[2]string]time.Time
}

// NewCluster sorts what was read from the API server. It is pure.
func NewCluster(r reading.Objects) Cluster {
	c := Cluster{Begun: r.Begun, Now: r.Now, Entries: map[string][]Entry{}, unresolved: map[[2]string]time.Time{}, alive: map[types.UID]bool{}, Running: r.Running}
	key, stores, holders, tombstones := r.Key, r.Stores, r.Holders, r.Tombstones
	i := slices.IndexFunc(stores, func(s v1alpha1.ArtifactStore) bool { return s.Name == key.Name })
	if i < 0 {
		c.Refusal = fmt.Errorf("%w: no store %s", ErrRefused, key)
		return c
	}
	c.Store = &stores[i]
	if c.Refusal = refuse(c.Store, stores); c.Refusal != nil {
		return c
	}
	// refuse has checked that the URL is valid.
	c.Location, _ = c.Store.Location()
	held := hold(holders, c.Location, stores)
	c.Recorded, c.unseen, c.Homes = held.recorded, held.unseen, c.homesOf(holders.Manifests())
	for _, m := range holders.Manifests() {
		c.alive[m.UID] = true
	}
	for _, u := range c.Store.Status.Unresolved {
		c.unresolved[[2]string{u.Repository, u.TagOrDigest}] = u.Since.Time
	}
	for j := range tombstones {
		t := &tombstones[j]
		if l, err := v1alpha1.ParseRegistryURL(t.Spec.RegistryURL); err != nil || !l.Same(c.Location) {
			continue
		}
		held.doubt = r.Definitions.Doubt(reading.HolderKinds, t.CreationTimestamp.Time, r.Now, reference.NeverMet)
		c.add(t, held)
	}
	c.addRunning()
	if c.Store.Spec.Workloads != nil && c.Store.Spec.Mirror == nil && c.Store.Generation != r.Running.Generation { // the selection may have changed since the workloads were read
		c.Refusal = fmt.Errorf("%w: its spec has changed since it was read what workloads run; run the purge again", ErrRefused)
	}
	slices.SortFunc(c.Tombstones, func(a, b *v1alpha1.Tombstone) int { return cmp.Compare(a.Name, b.Name) })
	for _, es := range c.Entries {
		slices.SortFunc(es, func(a, b Entry) int {
			return cmp.Or(cmp.Compare(a.Tombstone.Name, b.Tombstone.Name), cmp.Compare(a.Tag, b.Tag))
		})
	}
	return c
}

// add sorts a tombstone of the store's location and its entries.
func (c *Cluster) add(t *v1alpha1.Tombstone, held holding) {
	c.Tombstones = append(c.Tombstones, t)
	for _, a := range t.Spec.Artifacts {
		if _, lives := c.Homes[a.Repository]; !lives && c.Location.Owns(t.Spec.Manifest.Name, a.Repository) {
			c.Homes[a.Repository] = &t.Spec.Manifest
		}
		if e := newEntry(t, a); !e.consumed() {
			c.judge(&e, held)
			c.Entries[a.Repository] = append(c.Entries[a.Repository], e)
		}
	}
}

// homesOf returns the repositories of the store's manifests. StoreScoped manifests have no repositories that only they use.
func (c Cluster) homesOf(manifests []*v1alpha1.ArtifactManifest) map[string]*v1alpha1.TombstoneManifest {
	homes := map[string]*v1alpha1.TombstoneManifest{}
	for _, m := range manifests {
		if m.Spec.ArtifactStoreRef.Name != c.Store.Name || m.Spec.UploadPath == v1alpha1.StoreScoped {
			continue
		}
		whose := &v1alpha1.TombstoneManifest{Name: m.Name, UID: m.UID, Spec: m.Spec}
		for _, a := range m.Spec.Artifacts {
			home := c.Location.Repository(m.Name, v1alpha1.ManifestScoped, a.ArtifactName)
			if c.Location.Owns(m.Name, home) {
				homes[home] = whose
			}
		}
	}
	return homes
}

// owns reports whether the repository of an entry is one that the entry's manifest has in this store (I9).
func (c Cluster) owns(e *Entry) bool {
	name := e.Tombstone.Spec.Manifest.Name
	return name != "" && !strings.Contains(name, "/") && c.Location.Owns(name, e.Repository)
}

// KeepUnless keeps the entries that may be deleted and for which f returns false, because they changed while the purge ran.
func (c Cluster) KeepUnless(f func(Entry) bool) {
	for _, es := range c.Entries {
		for i := range es {
			if e := &es[i]; e.MayGo() && !f(*e) {
				e.Keep, e.because = Held, e.id()+" changed while the purge ran"
			}
		}
	}
}

func lastSegment(repository string) string { return repository[strings.LastIndex(repository, "/")+1:] }

// Forgotten reports whether it is not recorded what became of an entry and no component works on it, because its
// manifest, whose release would continue, does not exist any more. This concerns tombstones that were restored from
// a backup without their status, and tombstones whose restore was abandoned before the tag was seen to be missing.
func (c Cluster) Forgotten(e Entry) bool {
	return (e.Status.State == v1alpha1.TombstonePending || e.abandoned) && e.Status.UntaggedAt == nil &&
		e.Tombstone.Spec.Cause != v1alpha1.CauseFound && !c.Lists(e.Tombstone.Spec.Manifest.UID)
}

// Lists reports whether the manifest with this UID exists.
func (c Cluster) Lists(manifest types.UID) bool { return c.alive[manifest] }
