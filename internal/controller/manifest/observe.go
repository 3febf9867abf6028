package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	chartcontroller "github.com/nfo-operator/nfo/internal/controller/chart"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// maxMediaType is the longest media type stored in a status, in bytes.
const maxMediaType = 256

// manifestSeen is everything that a pass over a manifest knows. decideManifest reads nothing else.
type manifestSeen struct {
	manifest *v1alpha1.ArtifactManifest
	store    *v1alpha1.ArtifactStore // nil if no store has that name
	location v1alpha1.RegistryLocation
	inert    *metav1.Condition // the store's Ready condition if it says that the store is inert
	holders  []reference.Holder
	byStore  []reference.Holder // those that reference its artifacts through the store, the old form
	running  []reference.Holder // workloads, by their last reading
	// tombstones are those of this namespace, registry and manifest name that tags can still be restored from.
	tombstones []v1alpha1.Tombstone
	// overwritten is how many of these tombstones are for overwritten digests of this manifest.
	overwritten int
	// polled is true if the registry was asked in this pass; tags then
	// has its answers. trouble is why the last poll was incomplete.
	polled  bool
	tags    map[inventory.Entry]tagSeen
	trouble error
	// read is the chart reading that is newer than the manifest's status. lacking are the images that
	// the charts need and the manifest does not list, by the last segments of their names. elsewhere
	// is what the other manifests of the store list; it is read only if lacking is not empty.
	read      chartcontroller.Reading
	lacking   []string
	elsewhere dated
	// now is the request to poll at once; see v1alpha1.ReconcileNow.
	now string
	// wait is how long until the next turn of a poll.
	wait time.Duration
	// unasked is how many listed entries have never been asked for in the registry.
	// partial is true if not all entries have been asked for in this generation.
	unasked int
	partial bool
	// leave gives up the place in the registry that the poll took.
	// The pass keeps it until after its acts, which need it, too.
	leave func()
}

// tagSeen is the registry's answer for one tag. there is false if the tag does not exist.
type tagSeen struct {
	there                     bool
	digest, mediaType, config string
	size                      int64
}

// observe reads everything that the pass needs. It asks the registry only for a manifest
// that is not being deleted, and only when a poll is due and the store's budget allows it.
func (r *Reconciler) observe(ctx context.Context, m *v1alpha1.ArtifactManifest) (manifestSeen, error) {
	seen := manifestSeen{manifest: m, leave: func() {}, now: v1alpha1.ReconcileNow(m)}
	var store v1alpha1.ArtifactStore
	err := r.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, &store)
	switch {
	case err == nil:
		seen.store, seen.now = &store, v1alpha1.ReconcileNow(m, &store)
	case !apierrors.IsNotFound(err):
		return seen, fmt.Errorf("reading store %s: %w", m.Spec.ArtifactStoreRef.Name, err)
	}
	if seen.holders, err = r.Holders.Cached(ctx, m); err != nil {
		return seen, fmt.Errorf("finding what holds %s: %w", m.Name, err)
	}
	if seen.byStore, err = r.byStore(ctx, m, seen.holders); err != nil || seen.store == nil {
		return seen, err
	}
	if seen.location, err = store.Location(); err != nil {
		seen.inert = &metav1.Condition{Reason: v1alpha1.ReasonInvalidURL, Message: err.Error()}
		return seen, nil
	}
	seen.inert = r.Releaser.InertByStatus(&store, seen.location)
	seen.running = r.running(m, &store, seen.location)
	if seen.tombstones, err = r.tombstones(ctx, m, seen.location); err != nil {
		return seen, err
	}
	for i := range seen.tombstones {
		if s := seen.tombstones[i].Spec; s.Cause == v1alpha1.CauseOverwritten && s.Manifest.UID == m.UID {
			seen.overwritten++
		}
	}
	if seen.inert != nil || asksReseat(m) || len(m.Status.Artifacts) == 0 || v1alpha1.ReconcilesNow(seen.now, m.Status.LastReconcileNow) {
		// Poll at once in these four cases: an inert store's status is not based on a poll, a restore of a sealed
		// tag needs a fresh reading, a lost status has to be rebuilt, and a person may have asked for a poll.
		r.Polls.Again(m)
	}
	if !m.DeletionTimestamp.IsZero() || seen.inert != nil {
		return seen, nil
	}
	r.poll(ctx, &seen)
	seen.read = r.Readings.Get(m.UID)
	if seen.lacking = seen.lacks(); len(seen.lacking) > 0 {
		seen.elsewhere, err = r.Catalogues.get(ctx, seen.store, seen.location, seen.lacking)
	}
	return seen, err
}

// running returns the workloads that use a manifest's artifacts, by their last
// reading. It takes them from the manifest's status if this process has not read
// workloads yet, and adds those from the status if some workloads could not be read.
func (r *Reconciler) running(m *v1alpha1.ArtifactManifest, s *v1alpha1.ArtifactStore, l v1alpha1.RegistryLocation) []reference.Holder {
	if r.Workloads == nil {
		return nil
	}
	if reading, known := r.Workloads.Last(s); known {
		now := reading.Holders(m, inventory.Entries(m, l))
		if reading.Unreadable() != nil {
			now = append(now, reference.RecordedBeside(m, now)...)
			reference.SortHolders(now)
		}
		return now
	}
	return reference.Recorded(m)
}

// tombstones lists the tombstones that tags of this manifest can
// be restored from: those with its name and its store's place.
func (r *Reconciler) tombstones(ctx context.Context, m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation) ([]v1alpha1.Tombstone, error) {
	var all v1alpha1.TombstoneList
	if err := r.List(ctx, &all, client.InNamespace(m.Namespace), client.MatchingFields{tombstone.ByManifest: m.Name}); err != nil {
		return nil, fmt.Errorf("listing tombstones: %w", err)
	}
	var mine []v1alpha1.Tombstone
	for _, t := range tombstone.Here(all.Items, l) {
		mine = append(mine, *t)
	}
	return mine, nil
}

// poll resolves entries if they are due and the lane has a place for their store.
func (r *Reconciler) poll(ctx context.Context, seen *manifestSeen) {
	m := seen.manifest
	entries := inventory.Entries(m, seen.location)
	defer func() { seen.unasked, seen.partial = r.Polls.Unasked(m, entries[:len(m.Spec.Artifacts)]) }()
	mine, wait, due := r.Polls.Due(m, seen.store, len(entries))
	if due {
		var leave func()
		if leave, wait = r.Polling.Enter(seen.store, client.ObjectKeyFromObject(m)); leave != nil {
			seen.leave = leave
			seen.polled, seen.tags = true, map[inventory.Entry]tagSeen{}
			asked, err := r.ask(ctx, seen, mine.Of(entries))
			r.Releaser.Journal.Polled(client.ObjectKeyFromObject(seen.store), err)
			seen.trouble = r.Polls.Took(m, asked, err)
			return
		}
	}
	seen.wait, seen.trouble = wait, r.Polls.Trouble(m)
}

// asksAtOnce is how many entries of a turn are asked for in parallel while the last ones were answered within promptly.
const (
	asksAtOnce = 8
	promptly   = 250 * time.Millisecond
)

// turnTime is how long a turn may keep asking a slow registry.
const turnTime = 5 * time.Second

// ask resolves the entries of a turn, and returns those that it reached. An error of one entry
// does not concern the others (I2); it stops at any other error, which the others would meet, too.
func (r *Reconciler) ask(ctx context.Context, seen *manifestSeen, entries []v1alpha1.ArtifactStatus) (asked []v1alpha1.ArtifactStatus, trouble error) {
	reg, err := r.Registries.Open(ctx, seen.store)
	if err != nil {
		return nil, err
	}
	began, at := r.Polls.Clock.Now(), 1
	for len(asked) < len(entries) && r.Polls.Clock.Since(began) <= turnTime {
		some, asking := entries[len(asked):min(len(asked)+at, len(entries))], r.Polls.Clock.Now()
		asked = entries[:len(asked)+len(some)]
		tags, errs := resolveAll(ctx, reg, some)
		for i, e := range some {
			switch err := errs[i]; {
			case registry.OfOne(err):
				trouble = cmp.Or(trouble, err)
			case err != nil:
				return asked, err
			default:
				seen.tags[inventory.KeyOf(e)] = tags[i]
			}
		}
		at = 1 // one at a time while the registry is slow, or has not yet answered promptly
		if r.Polls.Clock.Since(asking) < promptly {
			at = asksAtOnce
		}
	}
	return asked, trouble
}

// resolveAll resolves some entries in parallel.
func resolveAll(ctx context.Context, reg *registry.Client, entries []v1alpha1.ArtifactStatus) ([]tagSeen, []error) {
	tags, errs := make([]tagSeen, len(entries)), make([]error, len(entries))
	var all sync.WaitGroup
	for i, e := range entries {
		all.Go(func() { tags[i], errs[i] = resolve(ctx, reg, e) })
	}
	all.Wait()
	return tags, errs
}

// resolve resolves an entry's tag. If the digest is new, it also reads the image manifest, because
// the media type of its config tells a chart from an image. A tag that was missing at the last poll
// is read with a GET at once, because only the body of that answer can say why the tag is missing.
func resolve(ctx context.Context, reg *registry.Client, e v1alpha1.ArtifactStatus) (tagSeen, error) {
	if e.State == v1alpha1.ArtifactMissing {
		m, err := reg.Tagged(ctx, e.Repository, e.ArtifactVersion)
		switch {
		case errors.Is(err, registry.ErrNotFound):
			return tagSeen{}, nil
		case err == nil:
			d := m.Descriptor
			return tagSeen{there: true, digest: d.Digest.String(), mediaType: d.MediaType, size: d.Size, config: v1alpha1.Clip(m.ConfigMediaType(), maxMediaType)}, nil
		case !errors.Is(err, registry.ErrUnreadable): // the tag of an unreadable manifest still exists
			return tagSeen{}, err
		}
	}
	d, err := reg.Resolve(ctx, e.Repository, e.ArtifactVersion)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return tagSeen{}, nil
	case err != nil:
		return tagSeen{}, err
	}
	tag := tagSeen{there: true, digest: d.Digest.String(), mediaType: d.MediaType, size: d.Size}
	if tag.digest == e.Digest {
		tag.config = e.ConfigMediaType
	}
	if tag.config != "" || (d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != registry.MediaTypeDockerManifest) {
		return tag, nil
	}
	m, err := reg.Manifest(ctx, e.Repository, d.Digest)
	if errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrUnreadable) {
		return tag, nil // the tag still exists
	}
	tag.config = v1alpha1.Clip(m.ConfigMediaType(), maxMediaType)
	return tag, err
}
