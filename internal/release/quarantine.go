package release

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

func quarantines(s *v1alpha1.ArtifactStore) bool {
	return s.Spec.Purge.Undo == v1alpha1.UndoQuarantineTag
}

// putUndoTag gives a digest the undo tag, which protects it until
// the purge. An existing undo tag of the digest stays as it is.
func putUndoTag(ctx context.Context, reg *registry.Client, repository, d string) error {
	at := digest.Digest(d)
	_, err := reg.PutTag(ctx, repository, graph.UndoTag(at), at)
	if errors.Is(err, registry.ErrTagTaken) {
		err = fmt.Errorf("%w: %w", ErrUndoTagTaken, err)
	}
	if err != nil {
		return fmt.Errorf("quarantining %s@%s: %w", repository, d, err)
	}
	return nil
}

// quarantine puts the undo tag on a digest that is about to lose its tag, or has lost it
// already, on fresh evidence. If the registry cannot remove a tag alone, quarantine does
// nothing, because the tag itself stays. lost is true if the digest no longer exists.
func (r *Releaser) quarantine(ctx context.Context, reg *registry.Client, job Task, ev *evidence, f Finding) (lost bool, err error) {
	if !quarantines(ev.store) || ev.store.Status.Capabilities.TagDelete == v1alpha1.Unsupported {
		return false, nil
	}
	if err := r.fresh(ctx, job, ev, f); err != nil || len(ev.holders) > 0 {
		return false, err
	}
	write, cancel := context.WithTimeout(ctx, MaxEvidence-r.Clock.Since(ev.at))
	defer cancel()
	err = putUndoTag(write, reg, f.Repository, f.kept().Digest)
	if !f.There && errors.Is(err, registry.ErrNotFound) {
		return true, nil // find has recorded since when the registry says that the tag does not exist
	}
	return false, err
}

// isUndoTag reports whether the entry's own tag is the undo tag of its digest. Such a tag protects the digest and stays.
func isUndoTag(s *v1alpha1.ArtifactStore, f Finding) bool {
	return quarantines(s) && f.ArtifactVersion == graph.UndoTag(digest.Digest(f.Digest))
}

// QuarantineOverwritten puts the undo tag on a digest whose tag was overwritten, if the store,
// read live, wants undo tags. It returns reasons for the entries of the digest's tombstone.
func (r *Releaser) QuarantineOverwritten(ctx context.Context, in *v1alpha1.ArtifactStore, m *v1alpha1.ArtifactManifest, e v1alpha1.ArtifactStatus) (reasons map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, MaxEvidence)
	defer cancel()
	s, err := r.store(ctx, in)
	if err != nil || !quarantines(s) {
		return nil, err
	}
	if err := r.Unchanged(ctx, m); err != nil {
		return nil, err
	}
	reg, err := r.Open(ctx, s)
	if err != nil {
		return nil, err
	}
	err = putUndoTag(ctx, reg, e.Repository, e.Digest)
	if errors.Is(err, registry.ErrNotFound) {
		return map[string]string{e.Repository + ":" + e.ArtifactVersion: tombstone.DigestLost}, nil
	}
	return nil, err
}

// store reads a store live. It returns reference.ErrSuperseded if the store has another UID than seen.
func (r *Releaser) store(ctx context.Context, seen *v1alpha1.ArtifactStore) (*v1alpha1.ArtifactStore, error) {
	var s v1alpha1.ArtifactStore
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(seen), &s); err != nil {
		return nil, fmt.Errorf("reading store %s: %w", seen.Name, err)
	}
	if s.UID != seen.UID {
		return nil, fmt.Errorf("reading store %s: %w", seen.Name, reference.ErrSuperseded)
	}
	return &s, nil
}

// undoTagRemover removes the undo tags of restored tags. It reads its evidence when it finds the first undo tag, because
// most restores find none, and again whenever the evidence is too old: a restore may remove many undo tags (I3).
type undoTagRemover struct {
	releaser *Releaser
	reg      *registry.Client
	store    *v1alpha1.ArtifactStore
	// tombstone is the tombstone that is being restored, kept up to date in memory.
	tombstone *v1alpha1.Tombstone

	// evidence has the age of what observe has read, which is in the fields below.
	evidence  standing
	removable bool                 // the registry removes a tag alone
	others    []v1alpha1.Tombstone // of the same manifest
	listed    reference.Listed
}

func newUndoTagRemover(r *Releaser, reg *registry.Client, s *v1alpha1.ArtifactStore, t *v1alpha1.Tombstone) *undoTagRemover {
	l := &undoTagRemover{releaser: r, reg: reg, store: s, tombstone: t}
	l.evidence.check, l.evidence.clock = l.observe, r.Clock
	return l
}

// permanentErrors are the errors that a retry cannot resolve.
var permanentErrors = []error{
	reference.ErrHoldersUnknown, registry.ErrCredentials, registry.ErrAddress, registry.ErrDenied, registry.ErrUnsupported, registry.ErrUnreadable,
}

// remove removes the undo tag of an entry whose tag is restored, unless another entry or manifest
// needs the undo tag. listed has the tags of the repository, or is nil if they are not known. An error
// that a retry cannot resolve does not stop the restore: the undo tag then stays until the purge.
func (l *undoTagRemover) remove(ctx context.Context, a v1alpha1.TombstoneArtifact, listed []string) error {
	if tag := graph.UndoTag(digest.Digest(tombstone.RestoredDigest(a))); listed != nil && !slices.Contains(listed, tag) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, MaxEvidence)
	defer cancel()
	err := l.try(ctx, a)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("removing the undo tag of %s:%s: %w", a.Repository, a.Tag, err)
	if slices.ContainsFunc(permanentErrors, func(no error) bool { return errors.Is(err, no) }) {
		log.FromContext(ctx).Info("An undo tag stays until the purge", "reason", err.Error())
		return nil
	}
	return err
}

func (l *undoTagRemover) try(ctx context.Context, a v1alpha1.TombstoneArtifact) error {
	d := digest.Digest(tombstone.RestoredDigest(a))
	tag := graph.UndoTag(d)
	if tag == "" || tag == a.Tag {
		return nil
	}
	now, err := l.reg.Resolve(ctx, a.Repository, tag)
	switch {
	case errors.Is(err, registry.ErrNotFound), err == nil && now.Digest != d:
		return nil
	case err != nil:
		return err
	}
	return l.evidence.act(ctx, func(ctx context.Context) error {
		if _, listed := l.listed[a.Repository+":"+tag]; !l.removable || listed || l.needed(a, d.String()) {
			return nil
		}
		return l.reg.Untag(ctx, a.Repository, tag)
	})
}

// observe reads, live, what decides whether an undo tag may be removed.
func (l *undoTagRemover) observe(ctx context.Context) error {
	s, err := l.releaser.store(ctx, l.store)
	if err != nil {
		return err
	}
	l.removable = s.Status.Capabilities.TagDelete == v1alpha1.Supported
	name := l.tombstone.Spec.Manifest.Name
	var graves v1alpha1.TombstoneList
	if err := l.releaser.Live.List(ctx, &graves, client.InNamespace(s.Namespace), client.MatchingFields{tombstone.ByManifest: name}); err != nil {
		return fmt.Errorf("listing tombstones: %w", err)
	}
	l.others = slices.DeleteFunc(graves.Items, func(t v1alpha1.Tombstone) bool { return t.UID == l.tombstone.UID })
	all, err := l.releaser.AllStores(ctx)
	if err != nil {
		return err
	}
	if l.listed, err = l.releaser.Listed(ctx, s, all); err != nil {
		return err
	}
	var m v1alpha1.ArtifactManifest
	if err := l.releaser.Live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &m); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading manifest %s: %w", name, err)
	}
	for _, e := range inventory.Entries(&m, l.reg.Location()) {
		l.listed[e.Repository+":"+e.ArtifactVersion] = reference.Self(&m)
	}
	return nil
}

// needed reports whether another entry that can still be restored or purged has the digest, in this
// tombstone or in another one of the manifest. The same undo tag protects the digest for all of them.
func (l *undoTagRemover) needed(a v1alpha1.TombstoneArtifact, d string) bool {
	for _, t := range append([]v1alpha1.Tombstone{*l.tombstone}, l.others...) {
		for _, o := range t.Spec.Artifacts {
			self := t.UID == l.tombstone.UID && o.Tag == a.Tag
			state := t.Entry(o.Repository, o.Tag).State
			consumed := state == v1alpha1.TombstoneRestored || state == v1alpha1.TombstonePurged
			if o.Repository == a.Repository && !self && !consumed && slices.Contains(o.Digests, d) {
				return true
			}
		}
	}
	return false
}
