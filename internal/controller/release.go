package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

// maxEvidence is the age up to which what was read may be acted on (I3).
const maxEvidence = 5 * time.Second

// tagStays is the reason of a tombstone's entry whose tag the registry would not remove alone.
const tagStays = v1alpha1.TagDeleteUnsupported + ": the registry cannot remove a tag alone; the tag goes with its digest at the purge"

// releaser lets artifacts go: evidence, tombstone, untag, holders once more.
type releaser struct {
	api     client.Client
	live    client.Reader
	holders *reference.Finder
	open    func(context.Context, *v1alpha1.ArtifactStore) (*registry.Client, error)
	clock   clock.PassiveClock
}

// owned are the entries that lie in the manifest's own path (I9). What a manifest has recorded at
// the store-scoped path, from before its upgrade, is never touched.
func (j task) owned(l v1alpha1.RegistryLocation) []v1alpha1.ArtifactStatus {
	return slices.DeleteFunc(slices.Clone(j.entries), func(e v1alpha1.ArtifactStatus) bool { return !l.Owns(j.manifest.Name, e.Repository) })
}

// released is how a release ended without an error.
type released struct {
	// holders, when not empty, is what appeared; nothing was let go.
	holders []reference.Holder
	// untouched says why the registry was left alone; "" when it was not.
	untouched string
	// tombstones are the names of what was written.
	tombstones []string
	// stay is true when tags stay until the purge, for the registry cannot remove them alone.
	stay bool
}

// finding is an entry of a manifest as the registry shows it right before its release.
type finding struct {
	v1alpha1.ArtifactStatus
	earlier string // the digest recorded before, when the tag has moved since
	there   bool   // whether the tag is there
}

func (f finding) digests() []string {
	if f.earlier == "" || f.earlier == f.Digest {
		return []string{f.Digest}
	}
	return []string{f.earlier, f.Digest}
}

// evidence is what a release acts on, and when its reading began, on the monotonic clock.
type evidence struct {
	at        time.Time
	holders   []reference.Holder
	store     *v1alpha1.ArtifactStore
	untouched string
	// listed are the tags, as repository:tag, that StoreScoped manifests of the store list. Theirs is
	// the one form in which two manifests can list one tag.
	listed map[string]bool
}

// free are the entries whose tags no other manifest lists. The others' tags stay (I1).
func (ev evidence) free(entries []v1alpha1.ArtifactStatus) []v1alpha1.ArtifactStatus {
	return slices.DeleteFunc(slices.Clone(entries), func(e v1alpha1.ArtifactStatus) bool { return ev.listed[e.Repository+":"+e.ArtifactVersion] })
}

// task is what is to be released. Evidence tells whether it still is.
type task struct {
	manifest *v1alpha1.ArtifactManifest
	entries  []v1alpha1.ArtifactStatus
	cause    v1alpha1.Cause
}

// release lets entries of a manifest go: all of them when it is being deleted, or those that
// left its spec. It can be run again after any interruption and ends what was begun.
func (r *releaser) release(ctx context.Context, job task) (released, error) {
	ev, err := r.gather(ctx, job)
	if err != nil || len(ev.holders) > 0 || ev.untouched != "" {
		return released{holders: ev.holders, untouched: ev.untouched}, err
	}
	reg, err := r.open(ctx, ev.store)
	if err != nil {
		return released{}, fmt.Errorf("opening store %s: %w", ev.store.Name, err)
	}
	found, err := r.find(ctx, reg, ev.free(job.owned(reg.Location())))
	if err != nil {
		return released{}, err
	}
	var out released
	for name, group := range r.group(job, found) {
		t, err := r.record(ctx, newTombstone(job.manifest, ev.store, job.cause, name), group)
		if namespaceGone(err) {
			return released{untouched: goneNamespace}, nil
		}
		if err != nil {
			return released{}, err
		}
		out.tombstones = append(out.tombstones, t.Name)
		if out.holders, err = r.untag(ctx, reg, job, &ev, t, group); err != nil || len(out.holders) > 0 {
			return out, err
		}
	}
	out.stay = ev.store.Status.Capabilities.TagDelete == v1alpha1.Unsupported
	return out, nil
}

// untag removes the tags of one tombstone, and looks at the holders once more.
func (r *releaser) untag(ctx context.Context, reg *registry.Client, job task, ev *evidence, t *v1alpha1.Tombstone, group []finding) ([]reference.Holder, error) {
	stays := map[string]bool{} // by repository:tag
	for _, f := range group {
		if f.there && ev.store.Status.Capabilities.TagDelete == v1alpha1.Unsupported {
			stays[f.Repository+":"+f.ArtifactVersion] = true
			continue
		}
		kept, err := r.untagOne(ctx, reg, job, ev, t, f)
		if err != nil || len(ev.holders) > 0 {
			return ev.holders, errors.Join(err, r.undo(ctx, reg, t, len(ev.holders) > 0))
		}
		stays[f.Repository+":"+f.ArtifactVersion] = kept
	}
	if err := r.bury(ctx, t, stays, ev.store.Spec.Purge.GracePeriod.Duration); err != nil {
		return nil, err
	}
	late, err := r.holders.Live(ctx, job.manifest)
	if err != nil {
		return nil, err
	}
	return late, r.undo(ctx, reg, t, len(late) > 0)
}

// undo puts the tags of a tombstone back when a holder has appeared meanwhile.
func (r *releaser) undo(ctx context.Context, reg *registry.Client, t *v1alpha1.Tombstone, held bool) error {
	if !held {
		return nil
	}
	_, err := r.restore(ctx, reg, t, func(v1alpha1.TombstoneArtifact) bool { return true })
	return err
}

// untagOne removes one tag on evidence that is fresh, after it has seen that the tombstone
// has the digest the tag is at now. stays is true when the registry cannot remove it alone.
func (r *releaser) untagOne(ctx context.Context, reg *registry.Client, job task, ev *evidence, t *v1alpha1.Tombstone, f finding) (stays bool, err error) {
	if !f.there {
		return false, nil
	}
	now, err := reg.Resolve(ctx, f.Repository, f.ArtifactVersion)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("resolving %s:%s: %w", f.Repository, f.ArtifactVersion, err)
	}
	if moved := now.Digest.String(); moved != f.Digest {
		f.earlier, f.Digest, f.MediaType, f.Size = f.Digest, moved, now.MediaType, now.Size
		stored, err := r.record(ctx, t.DeepCopy(), []finding{f})
		if err != nil {
			return false, err
		}
		stored.DeepCopyInto(t)
	}
	trial, err := r.prepare(ctx, reg, ev.store, f)
	if err != nil {
		return false, err
	}
	if r.clock.Since(ev.at) > maxEvidence/2 {
		if *ev, err = r.gather(ctx, job); err != nil || len(ev.holders) > 0 {
			return false, err
		}
		if ev.untouched != "" || len(ev.free([]v1alpha1.ArtifactStatus{f.ArtifactStatus})) == 0 {
			return false, fmt.Errorf("untagging %s:%s: %w", f.Repository, f.ArtifactVersion, errSuperseded)
		}
	}
	write, cancel := context.WithTimeout(ctx, maxEvidence-r.clock.Since(ev.at))
	defer cancel()
	if trial == nil {
		return false, reg.Untag(write, f.Repository, f.ArtifactVersion)
	}
	return r.learn(write, trial, ev.store)
}

// prepare reads what the first release of a store may have to put back (I6); nil once it is
// known that the registry can remove a tag alone.
func (r *releaser) prepare(ctx context.Context, reg *registry.Client, s *v1alpha1.ArtifactStore, f finding) (*registry.Trial, error) {
	if s.Status.Capabilities.TagDelete == v1alpha1.Supported {
		return nil, nil
	}
	return reg.PrepareTrial(ctx, f.Repository, f.ArtifactVersion, digest.Digest(f.Digest))
}

// learn removes the tag, and records whether the registry did so without taking the digest.
func (r *releaser) learn(ctx context.Context, trial *registry.Trial, s *v1alpha1.ArtifactStore) (stays bool, err error) {
	learnt, err := trial.Untag(ctx)
	if err != nil || learnt == v1alpha1.SupportUnknown {
		return false, err
	}
	patch := client.MergeFrom(s.DeepCopy())
	s.Status.Capabilities.TagDelete = learnt
	if err := r.api.Status().Patch(ctx, s, patch); err != nil {
		return false, fmt.Errorf("recording that tag deletion is %s in store %s: %w", learnt, s.Name, err)
	}
	return learnt == v1alpha1.Unsupported, nil
}

// find resolves every entry. An entry that was never there has nothing to release.
func (r *releaser) find(ctx context.Context, reg *registry.Client, entries []v1alpha1.ArtifactStatus) ([]finding, error) {
	var found []finding
	for _, e := range entries {
		d, err := reg.Resolve(ctx, e.Repository, e.ArtifactVersion)
		f := finding{ArtifactStatus: e}
		switch {
		case errors.Is(err, registry.ErrNotFound):
			if e.Digest == "" {
				continue
			}
		case err != nil:
			return nil, fmt.Errorf("resolving %s:%s: %w", e.Repository, e.ArtifactVersion, err)
		default:
			f.earlier, f.there = e.Digest, true
			f.Digest, f.MediaType, f.Size = d.Digest.String(), d.MediaType, d.Size
		}
		found = append(found, f)
	}
	return found, nil
}

// group sorts findings by the tombstone that they belong to.
func (r *releaser) group(job task, found []finding) map[string][]finding {
	groups := map[string][]finding{}
	for _, f := range found {
		name := tombstoneName(job.manifest, job.cause, f.Repository, f.ArtifactVersion)
		groups[name] = append(groups[name], f)
	}
	return groups
}

// goneNamespace is why nothing can be recorded, and so nothing is untagged (I4).
const goneNamespace = "The namespace is being deleted, so that nothing can be recorded: the artifacts stay in the registry."

// gather reads, live, all that a release may stand on: that the manifest still is what is to be
// released, what holds it, where its store is, and that this store is nobody else's (I9).
func (r *releaser) gather(ctx context.Context, job task) (evidence, error) {
	ev := evidence{at: r.clock.Now()}
	var m v1alpha1.ArtifactManifest
	err := r.live.Get(ctx, client.ObjectKeyFromObject(job.manifest), &m)
	switch {
	case apierrors.IsNotFound(err), err == nil && (m.UID != job.manifest.UID || m.Generation != job.manifest.Generation):
		return ev, fmt.Errorf("reading manifest %s: %w", job.manifest.Name, errSuperseded)
	case err != nil:
		return ev, fmt.Errorf("reading manifest %s: %w", job.manifest.Name, err)
	}
	if ev.holders, err = r.holders.Live(ctx, &m); err != nil || len(ev.holders) > 0 {
		return ev, err
	}
	var ns corev1.Namespace
	if err := r.live.Get(ctx, client.ObjectKey{Name: m.Namespace}, &ns); err != nil {
		return ev, fmt.Errorf("reading namespace %s: %w", m.Namespace, err)
	}
	if !ns.DeletionTimestamp.IsZero() {
		ev.untouched = goneNamespace
		return ev, nil
	}
	return ev, r.gatherStore(ctx, &m, &ev)
}

// gatherStore reads every store of the cluster, uncached, and finds the manifest's own.
func (r *releaser) gatherStore(ctx context.Context, m *v1alpha1.ArtifactManifest, ev *evidence) error {
	var all v1alpha1.ArtifactStoreList
	if err := r.live.List(ctx, &all); err != nil {
		return fmt.Errorf("listing stores: %w", err)
	}
	for i := range all.Items {
		if s := &all.Items[i]; s.Namespace == m.Namespace && s.Name == m.Spec.ArtifactStoreRef.Name {
			ev.store = s
		}
	}
	recorded := slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return a.Digest != "" })
	switch {
	case unknownOnDelete(m) || (ev.store != nil && unknownOnDelete(ev.store)):
		return fmt.Errorf("reading what is wanted on deletion: %w", errOnDelete) // whoever wrote it wanted something else than this
	case orphaned(m) || (ev.store != nil && orphaned(ev.store)):
		ev.untouched = "Annotation nfo.dev/on-delete: Orphan: the artifacts stay in the registry."
	case ev.store == nil && recorded:
		return fmt.Errorf("finding ArtifactStore %s: %w", m.Spec.ArtifactStoreRef.Name, errStoreNotFound)
	case ev.store == nil:
		ev.untouched = "Its store does not exist and nothing of it was ever seen in a registry."
	default:
		ev.untouched = inert(ev.store, all.Items)
	}
	if ev.untouched != "" {
		return nil
	}
	return r.gatherListed(ctx, ev)
}

// gatherListed reads, live, which tags the StoreScoped manifests of the store list.
func (r *releaser) gatherListed(ctx context.Context, ev *evidence) error {
	l, err := v1alpha1.ParseRegistryURL(ev.store.Spec.Registry.URL)
	if err != nil {
		return err
	}
	var old v1alpha1.ArtifactManifestList
	if err := r.live.List(ctx, &old, client.InNamespace(ev.store.Namespace), client.MatchingFields{"spec.uploadPath": string(v1alpha1.StoreScoped)}); err != nil {
		return fmt.Errorf("listing StoreScoped manifests: %w", err)
	}
	ev.listed = map[string]bool{}
	for _, m := range old.Items {
		if m.Spec.ArtifactStoreRef.Name != ev.store.Name {
			continue
		}
		for _, a := range m.Spec.Artifacts {
			ev.listed[l.Repository(m.Name, v1alpha1.StoreScoped, a.ArtifactName)+":"+a.ArtifactVersion] = true
		}
	}
	return nil
}

// inert says why a store's manifests go without touching the registry; "" when they do not.
func inert(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) string {
	if _, err := v1alpha1.ParseRegistryURL(s.Spec.Registry.URL); err != nil {
		return fmt.Sprintf("The URL of store %s is %v: nothing was ever done there.", s.Name, err)
	}
	if w := s.Winner(all); w != nil {
		return fmt.Sprintf("Store %s is inert because the older store %s/%s has an overlapping URL: the artifacts stay in the registry.", s.Name, w.Namespace, w.Name)
	}
	return ""
}

// namespaceGone reports whether the API server refused to create an object because the
// namespace is being deleted.
func namespaceGone(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}
