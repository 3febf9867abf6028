package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

// maxMediaType bounds what a status says of a media type, in bytes.
const maxMediaType = 256

// entry identifies an artifact of a manifest.
type entry struct{ name, version string }

// manifestSeen is all that a pass over a manifest knows. decideManifest reads nothing else.
type manifestSeen struct {
	manifest *v1alpha1.ArtifactManifest
	store    *v1alpha1.ArtifactStore // nil when there is none of that name
	location v1alpha1.RegistryLocation
	inert    *metav1.Condition // the store's Ready condition when it says that the store is inert
	holders  []reference.Holder
	byStore  []reference.Holder // those that name its artifacts by the store, the old form
	// tombstones of this namespace, registry and manifest name that can still be restored from.
	tombstones []v1alpha1.Tombstone
	// overwritten is how many of them are of overwritten digests of this manifest.
	overwritten int
	// polled is true when the registry was asked in this pass; tags then has its answers. trouble is
	// why the last poll did not see everything.
	polled  bool
	tags    map[entry]tagSeen
	trouble error
	// read is what was read of its charts since its status was written; lacking are the images that they need and
	// that are not in the manifest, by the last segments of their names; elsewhere is what other manifests of the
	// store list, if that matters.
	read      reading
	lacking   []string
	elsewhere dated
	// wait is how long until the next turn of a poll.
	wait time.Duration
	// unasked is how many of the listed entries nobody has asked the registry for; partial, that not all
	// entries were asked for in this generation.
	unasked int
	partial bool
	// leave gives up the place of a poll in the registry, which the acts of the pass need, too.
	leave func()
}

// tagSeen is what the registry said of one tag. there is false when the tag is not there.
type tagSeen struct {
	there                     bool
	digest, mediaType, config string
	size                      int64
}

// observe reads. It asks the registry only for a manifest that is not being deleted, and only
// when a poll is due and the store's budget allows it.
func (r *ManifestReconciler) observe(ctx context.Context, m *v1alpha1.ArtifactManifest) (manifestSeen, error) {
	seen := manifestSeen{manifest: m, leave: func() {}}
	var store v1alpha1.ArtifactStore
	err := r.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, &store)
	switch {
	case err == nil:
		seen.store = &store
	case !apierrors.IsNotFound(err):
		return seen, fmt.Errorf("reading store %s: %w", m.Spec.ArtifactStoreRef.Name, err)
	}
	if seen.holders, err = r.holders.Cached(ctx, m); err != nil {
		return seen, fmt.Errorf("finding what holds %s: %w", m.Name, err)
	}
	if seen.byStore, err = r.byStore(ctx, m, seen.holders); err != nil || seen.store == nil {
		return seen, err
	}
	if seen.location, err = v1alpha1.ParseRegistryURL(store.Spec.Registry.URL); err != nil {
		seen.inert = &metav1.Condition{Reason: v1alpha1.ReasonInvalidURL, Message: err.Error()}
		return seen, nil
	}
	seen.inert = r.releaser.inertness(&store, seen.location)
	if seen.tombstones, err = r.tombstones(ctx, m, seen.location); err != nil {
		return seen, err
	}
	for i := range seen.tombstones {
		if s := seen.tombstones[i].Spec; s.Cause == v1alpha1.CauseOverwritten && s.Manifest.UID == m.UID {
			seen.overwritten++
		}
	}
	if seen.inert != nil || asksBack(m) || len(m.Status.Artifacts) == 0 {
		// What is said beside an inert store is not what a poll found, what overwrites a tag acts on a fresh
		// look, and a status that was lost is seen anew.
		r.polls.again(m)
	}
	if !m.DeletionTimestamp.IsZero() || seen.inert != nil {
		return seen, nil
	}
	r.poll(ctx, &seen)
	seen.read = r.readings.get(m.UID)
	if seen.lacking = seen.lacks(); len(seen.lacking) > 0 {
		seen.elsewhere, err = r.catalogues.get(ctx, seen.store, seen.location, seen.lacking)
	}
	return seen, err
}

// inertness returns why nothing may be done in a store, also before the store's status says that its place is
// refused; nil if it may.
func (r *releaser) inertness(s *v1alpha1.ArtifactStore, at v1alpha1.RegistryLocation) *metav1.Condition {
	if refusal := r.places.Refusal(s.Namespace, at); refusal != nil {
		return &metav1.Condition{Reason: v1alpha1.ReasonPlaceRefused, Message: refusal.Error()}
	}
	return inertness(s)
}

// inertness returns why nothing may be done in a store: its URL is another's, is refused, or cannot be
// read, or has not been judged yet. nil for a store that works, also while it is unreachable.
func inertness(s *v1alpha1.ArtifactStore) *metav1.Condition {
	c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case c == nil:
		return &metav1.Condition{Reason: v1alpha1.ReasonPending}
	case c.Reason == v1alpha1.ReasonPathConflict, c.Reason == v1alpha1.ReasonPlaceRefused, c.Reason == v1alpha1.ReasonInvalidURL:
		return c
	}
	return nil
}

// tombstones lists what can be restored to this manifest: of its name and its store's place.
func (r *ManifestReconciler) tombstones(ctx context.Context, m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation) ([]v1alpha1.Tombstone, error) {
	var all v1alpha1.TombstoneList
	if err := r.List(ctx, &all, client.InNamespace(m.Namespace), client.MatchingFields{tombstoneByManifest: m.Name}); err != nil {
		return nil, fmt.Errorf("listing tombstones: %w", err)
	}
	var mine []v1alpha1.Tombstone
	for _, t := range all.Items {
		at, err := v1alpha1.ParseRegistryURL(t.Spec.RegistryURL)
		if err == nil && at.Same(l) && t.DeletionTimestamp.IsZero() {
			mine = append(mine, t)
		}
	}
	return mine, nil
}

// poll resolves entries, if they are due and there is a place for their store.
func (r *ManifestReconciler) poll(ctx context.Context, seen *manifestSeen) {
	m := seen.manifest
	entries := wanted(m, seen.location)
	defer func() { seen.unasked, seen.partial = r.polls.unasked(m, entries[:len(m.Spec.Artifacts)]) }()
	mine, wait, due := r.polls.due(m, seen.store, len(entries))
	if due {
		var leave func()
		if leave, wait = r.polling.enter(seen.store, m.UID); leave != nil {
			seen.leave = leave
			seen.polled, seen.tags = true, map[entry]tagSeen{}
			asked, err := r.ask(ctx, seen, mine.of(entries))
			seen.trouble = r.polls.took(m, asked, err)
			return
		}
	}
	seen.wait, seen.trouble = wait, r.polls.trouble(m)
}

// ask resolves the entries of a turn, and returns those that it came to. Trouble with one of them does not
// concern the others (I2); any other trouble would meet them too.
func (r *ManifestReconciler) ask(ctx context.Context, seen *manifestSeen, entries []v1alpha1.ArtifactStatus) (asked []v1alpha1.ArtifactStatus, trouble error) {
	reg, err := r.registries.Open(ctx, seen.store)
	if err != nil {
		return nil, err
	}
	began := r.polls.clock.Now()
	for i, e := range entries {
		tag, err := look(ctx, reg, e)
		switch {
		case registry.OfOne(err):
			trouble = cmp.Or(trouble, err)
		case err != nil:
			return entries[:i+1], err
		default:
			seen.tags[keyOf(e)] = tag
		}
		if r.polls.clock.Since(began) > turnTime {
			return entries[:i+1], trouble
		}
	}
	return entries, trouble
}

// look resolves an entry's tag. Of a digest that is new it reads the image manifest too: the type of its
// config tells a chart from an image. What was not there at the last look is asked for by that alone, for
// only its answer can say why it is not.
func look(ctx context.Context, reg *registry.Client, e v1alpha1.ArtifactStatus) (tagSeen, error) {
	if e.State == v1alpha1.ArtifactMissing {
		m, err := reg.Tagged(ctx, e.Repository, e.ArtifactVersion)
		switch {
		case errors.Is(err, registry.ErrNotFound):
			return tagSeen{}, nil
		case err == nil:
			d := m.Descriptor
			return tagSeen{there: true, digest: d.Digest.String(), mediaType: d.MediaType, size: d.Size, config: v1alpha1.Clip(m.ConfigMediaType(), maxMediaType)}, nil
		case !errors.Is(err, registry.ErrUnreadable): // of an unreadable manifest the tag is there all the same
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
		return tag, nil // the tag is there all the same
	}
	tag.config = v1alpha1.Clip(m.ConfigMediaType(), maxMediaType)
	return tag, err
}

func keyOf(e v1alpha1.ArtifactStatus) entry { return entry{e.ArtifactName, e.ArtifactVersion} }

// wanted lists a manifest's entries with what was recorded of each: those of the spec, and
// after them those that left it and have not been released.
func wanted(m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation) []v1alpha1.ArtifactStatus {
	recorded := map[entry]v1alpha1.ArtifactStatus{}
	for _, a := range m.Status.Artifacts {
		recorded[keyOf(a)] = a
	}
	var all []v1alpha1.ArtifactStatus
	seal := sealedDigests(m)
	for i, a := range m.Spec.Artifacts {
		e := v1alpha1.ArtifactStatus{
			ArtifactName: a.ArtifactName, ArtifactVersion: a.ArtifactVersion, State: v1alpha1.ArtifactMissing,
			Repository: l.Repository(m.Name, m.Spec.UploadPath, a.ArtifactName),
		}
		if seal != nil {
			e.Digest = seal[i] // of which the status may know nothing any more
		}
		if was, ok := recorded[keyOf(e)]; ok && was.Repository == e.Repository {
			e = was
		}
		all = append(all, e)
		delete(recorded, keyOf(e))
	}
	for _, a := range m.Status.Artifacts {
		if was, left := recorded[keyOf(a)]; left {
			all = append(all, was)
		}
	}
	return all
}
