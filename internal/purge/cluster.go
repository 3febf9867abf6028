package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Why a purge does not begin.
var (
	// ErrRefused: the store must not be purged now.
	ErrRefused = errors.New("the store must not be purged now")
	// ErrRunning: another purge of the store is running.
	ErrRunning = errors.New("another purge of the store is running")
)

// cluster is what the API server says that concerns one store.
type cluster struct {
	begun      time.Time // when its reading began
	now        time.Time // the API server's time, with which graces are compared
	store      *v1alpha1.ArtifactStore
	location   v1alpha1.RegistryLocation
	refusal    error                   // why the store must not be purged, or nil
	running    running                 // what workloads run
	tombstones []*v1alpha1.Tombstone   // of this location, by name
	entries    map[string][]entry      // by repository: what is not consumed
	recorded   map[string][]graph.Root // by repository: digests in the status of manifests and definitions
	unseen     map[string][]string     // by repository: tags that a manifest lists of which no status says anything
	// homes are the repositories that the store's manifests have, or had, and whose they are (I9).
	homes map[string]*v1alpha1.TombstoneManifest
	// alive are the UIDs of the namespace's manifests; asked are the names that were read besides.
	alive map[types.UID]bool
	asked *questions
	// unresolved is since when purges have seen references unresolved, by repository and reference.
	unresolved map[[2]string]time.Time
}

// unlisted is not nil if a manifest of a name exists that was not listed: what it keeps is unknown (I2).
func (c cluster) unlisted(ctx context.Context, api client.Reader, namespace, name string) error {
	var m v1alpha1.ArtifactManifest
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &m)
	switch {
	case apierrors.IsNotFound(err), err == nil && c.alive[m.UID]:
		return nil
	case err != nil:
		return fmt.Errorf("reading manifest %s/%s: %w", namespace, name, err)
	}
	return fmt.Errorf("%w: manifest %s/%s exists and is not listed", errContradiction, namespace, name)
}

// newCluster sorts what was read. It is pure.
func newCluster(r clusterRead) cluster {
	c := cluster{begun: r.begun, now: r.now, entries: map[string][]entry{}, unresolved: map[[2]string]time.Time{}, alive: map[types.UID]bool{}, asked: &questions{names: map[string]bool{}}, running: r.running}
	key, stores, holders, tombstones := r.key, r.stores, r.holders, r.tombstones
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
		held.doubt = r.definitions.Doubt(holderKinds, t.CreationTimestamp.Time, r.now, reference.NeverMet)
		c.add(t, held)
	}
	c.run()
	if c.store.Spec.Workloads != nil && c.store.Spec.Mirror == nil && c.store.Generation != r.running.generation { // what was read may be another selection
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

// refuse says why a store must not be purged, nil when it may.
func refuse(s *v1alpha1.ArtifactStore, stores []v1alpha1.ArtifactStore) error {
	because := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
	}
	if !s.DeletionTimestamp.IsZero() {
		return because("it is being deleted")
	}
	if _, err := s.Location(); err != nil {
		return because("%s: %w", v1alpha1.ReasonInvalidURL, err)
	}
	admitted := slices.DeleteFunc(slices.Clone(stores), func(o v1alpha1.ArtifactStore) bool { return o.Refused() })
	if w := s.Winner(admitted); w != nil {
		return because("%s: the older store %s/%s has an overlapping URL", v1alpha1.ReasonPathConflict, w.Namespace, w.Name)
	}
	// Only the manager sees the stores of other namespaces, and knows the administrator's list of places (I9).
	ready := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil, ready.Status == metav1.ConditionUnknown, ready.ObservedGeneration != s.Generation:
		return because("the manager has not judged this store yet")
	case ready.Reason == v1alpha1.ReasonPathConflict, ready.Reason == v1alpha1.ReasonPlaceRefused, ready.Reason == v1alpha1.ReasonInvalidURL:
		return because("%s: %s", ready.Reason, ready.Message)
	}
	if c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionPurgeHealthy); c != nil && c.Reason == v1alpha1.ReasonMayShareRegistry {
		return because("%s: %s", c.Reason, c.Message)
	}
	return nil
}

// entry is one released tag of one tombstone, and what may become of it.
type entry struct {
	v1alpha1.TombstoneArtifact
	tombstone *v1alpha1.Tombstone
	uid       types.UID // of the tombstone, which others may be writing
	status    v1alpha1.TombstoneArtifactStatus
	valid     []digest.Digest
	// candidate: its digests get a verdict. Other entries only keep.
	candidate bool
	// keep says why its digests may not go, "" when they may; because says it to people.
	keep    Reason
	because string
	// listed: a manifest that exists lists the tag.
	listed bool
	// until is when its grace ends, where keep is GracePeriod and that is known.
	until time.Time
}

func newEntry(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact) entry {
	e := entry{TombstoneArtifact: a, tombstone: t, uid: t.UID, status: t.Entry(a.Repository, a.Tag)}
	for _, d := range a.Digests {
		if digest.Digest(d).Validate() == nil {
			e.valid = append(e.valid, digest.Digest(d))
		}
	}
	return e
}

func (e entry) consumed() bool {
	return e.status.State == v1alpha1.TombstoneRestored || e.status.State == v1alpha1.TombstonePurged
}

func (e entry) mayGo() bool { return e.keep == "" }

// movedOn reports whether the tag is at another digest since.
func (e entry) movedOn() bool {
	return e.tombstone.MovedOn(e.status)
}

// ownTag reports whether the entry's tag is still there because the registry removes no tags.
func (e entry) ownTag() bool {
	return strings.HasPrefix(e.status.Reason, v1alpha1.TagDeleteUnsupported)
}

func (e entry) id() string {
	return v1alpha1.ResourceID(v1alpha1.KindTombstone, e.tombstone.Namespace, e.tombstone.Name)
}

// judge decides whether an entry may go, as far as the cluster knows.
func (c cluster) judge(e *entry, held holding) {
	e.listed = held.lists(*e)
	switch e.status.State {
	case v1alpha1.TombstoneUntagged, v1alpha1.TombstoneKept, v1alpha1.TombstoneSweeping:
		e.candidate = e.status.UntaggedAt != nil
	case v1alpha1.TombstoneRestoring:
		e.keep, e.because = Held, e.id()+" is being restored"
		return
	}
	end, known := e.tombstone.GraceEnds(e.status, c.store.Spec.Purge.GracePeriod.Duration)
	switch {
	case !e.candidate || !known:
		e.keep, e.because = GracePeriod, "its tag has not been seen gone, says "+e.id()
	case len(e.valid) < len(e.Digests):
		e.keep, e.because = Unreadable, e.id()+" has a digest that is not one"
	case !c.owns(e):
		e.keep, e.because = NotOurs, fmt.Sprintf("%s names a repository that is not one of manifest %s in this store", e.id(), e.tombstone.Spec.Manifest.Name)
	case c.now.Before(end):
		e.keep, e.because, e.until = GracePeriod, fmt.Sprintf("%s restores it until %s", e.id(), end.UTC().Format(time.RFC3339)), end
	default:
		if by := held.by(*e); by != "" {
			e.keep, e.because = Held, by
		} else if by := e.use(c.running); by != "" {
			e.keep, e.because = InUse, by
		}
	}
}

// minAbsence is the least time for which the registry must say that something does not exist before
// that is believed, where the grace period is shorter.
const minAbsence = time.Minute

// settles is how long the registry must say that a digest of a tombstone does not exist before the
// tombstone gives it up: a whole grace period, or only minAbsence where somebody has ended that.
func (c cluster) settles(t *v1alpha1.Tombstone) time.Duration {
	if _, now := t.Annotations[v1alpha1.AnnotationExpireNow]; now {
		return minAbsence
	}
	return max(t.Spec.GracePeriod.Duration, c.store.Spec.Purge.GracePeriod.Duration, minAbsence)
}

// givesUp reports whether an entry may be done with a digest that the registry says does not exist:
// purges deleted it, or it has been so through a whole grace period.
func (c cluster) givesUp(e *entry, d digest.Digest) bool {
	since := e.status.MissingSince
	return slices.Contains(e.status.Deleted, d.String()) || (since != nil && c.now.Sub(since.Time) >= c.settles(e.tombstone))
}

// settled reports whether a reference that does not resolve has been so since a purge a grace period ago.
func (c cluster) settled(repository, reference string) bool {
	since, seen := c.unresolved[[2]string{repository, reference}]
	return seen && c.now.Sub(since) >= max(c.store.Spec.Purge.GracePeriod.Duration, minAbsence)
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
