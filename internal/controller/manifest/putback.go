package manifest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// asksReseat reports whether a manifest's annotation nfo.dev/restore-digest asks for tags at a sealed digest.
func asksReseat(m *v1alpha1.ArtifactManifest) bool {
	d := m.Annotations[v1alpha1.AnnotationRestoreDigest]
	return d != "" && inventory.Sealed(m) && slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return a.Digest == d })
}

// order adds the tags that the annotation nfo.dev/restore-digest asks for to the verdict:
// those that were sealed at the annotation's digest and were polled in this pass.
func (seen manifestSeen) order(v *manifestVerdict) {
	d, asked := seen.manifest.Annotations[v1alpha1.AnnotationRestoreDigest]
	if !asked {
		return
	}
	listed := v.artifacts[:len(seen.manifest.Spec.Artifacts)]
	if wrong := seen.refuse(d, listed); wrong != "" {
		v.conditions.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidAnnotation, wrong)
		return
	}
	v.answered = true
	for _, e := range listed {
		if e.Digest != d {
			continue
		}
		if _, looked := seen.tags[inventory.KeyOf(e)]; !looked {
			v.answered = false
		} else if e.State != v1alpha1.ArtifactPresent {
			v.reseat = append(v.reseat, e)
		}
	}
}

// refuse explains why no tag can be restored to a digest, and what to do; "" if one can.
func (seen manifestSeen) refuse(d string, listed []v1alpha1.ArtifactStatus) string {
	m := seen.manifest
	remove := fmt.Sprintf("kubectl annotate am %s %s-", m.Name, v1alpha1.AnnotationRestoreDigest)
	switch known := slices.ContainsFunc(listed, func(a v1alpha1.ArtifactStatus) bool { return a.Digest == d }); {
	case m.Spec.UploadPath == v1alpha1.StoreScoped:
		return fmt.Sprintf("Annotation %s has no effect here: the artifacts of a StoreScoped manifest are never touched. Push what is wanted yourself, and remove the annotation: %s.", v1alpha1.AnnotationRestoreDigest, remove)
	case !inventory.Sealed(m):
		return fmt.Sprintf("Annotation %s has no effect here: the manifest is not sealed (artifactManifestState Uploaded), so that its tags may be overwritten. Push again what is wanted, and remove the annotation: %s.", v1alpha1.AnnotationRestoreDigest, remove)
	case digest.Digest(d).Validate() != nil:
		return fmt.Sprintf("Annotation %s is %.100q, which is not a digest. ", v1alpha1.AnnotationRestoreDigest, d) + choices(m.Name, remove, listed)
	case !known:
		return fmt.Sprintf("Annotation %s is %.160s, and no artifact of this manifest was sealed at that. ", v1alpha1.AnnotationRestoreDigest, d) + choices(m.Name, remove, listed)
	}
	return ""
}

// choices lists the digests that the annotation can have.
func choices(manifest, remove string, listed []v1alpha1.ArtifactStatus) string {
	var names []string
	for _, a := range recoverable(listed) {
		names = append(names, fmt.Sprintf("%s (of %s:%s)", a.Digest, a.Repository, a.ArtifactVersion))
	}
	if len(names) == 0 {
		return fmt.Sprintf("No tag was seen to be missing or overwritten; remove the annotation: %s.", remove)
	}
	return fmt.Sprintf("It can be one of: %s. Correct it (kubectl annotate am %s --overwrite %s=<digest>) or remove it (%s).", v1alpha1.FirstOf(names, reference.NamedHolders), manifest, v1alpha1.AnnotationRestoreDigest, remove)
}

// reseat is the outcome for each tag that a person wanted back at its sealed
// digest: the reason, Restored or UndoLost, and the note of its event.
type reseat map[inventory.Entry]struct{ reason, note string }

// mark updates a copy of entries with the outcome.
func (p reseat) mark(artifacts []v1alpha1.ArtifactStatus) []v1alpha1.ArtifactStatus {
	artifacts = slices.Clone(artifacts)
	for i := range artifacts {
		switch e := &artifacts[i]; p[inventory.KeyOf(*e)].reason {
		case v1alpha1.ReasonRestored:
			e.State, e.MovedTo, e.Reason = v1alpha1.ArtifactPresent, "", ""
		case v1alpha1.ReasonUndoLost:
			e.Reason = tombstone.DigestLost
		}
	}
	return artifacts
}

func (p reseat) tell(to events.EventRecorder, m *v1alpha1.ArtifactManifest) {
	for _, e := range m.Status.Artifacts {
		switch end := p[inventory.KeyOf(e)]; end.reason {
		case v1alpha1.ReasonRestored:
			pass.Restored(to, m, end.note)
		case v1alpha1.ReasonUndoLost:
			pass.UndoLost(to, m, end.note)
		}
	}
}

// reseat restores tags to their sealed digests, over what was pushed there since.
func (r *Reconciler) reseat(ctx context.Context, seen manifestSeen, entries []v1alpha1.ArtifactStatus, done *manifestDone) error {
	done.recorded, done.reseat = len(entries) > 0, reseat{}
	for _, e := range entries {
		ref := e.Repository + ":" + e.ArtifactVersion
		end := done.reseat[inventory.KeyOf(e)]
		note, err := r.reseatOne(ctx, seen, e)
		switch {
		case errors.Is(err, registry.ErrNotFound):
			r.Releaser.Journal.NotRestored(ctx, sealedTag(seen, e), v1alpha1.ReasonUndoLost)
			end.reason, end.note = v1alpha1.ReasonUndoLost, fmt.Sprintf("The sealed digest %s of %s is not in the registry any more, or not whole; push it again.", e.Digest, ref)
		case err != nil:
			return fmt.Errorf("putting back %s: %w", ref, err)
		default:
			r.Releaser.Journal.Restored(ctx, sealedTag(seen, e))
			end.reason, end.note = v1alpha1.ReasonRestored, fmt.Sprintf("Restored %s to %s, as %s asked.%s", ref, e.Digest, v1alpha1.AnnotationRestoreDigest, note)
		}
		done.reseat[inventory.KeyOf(e)] = end
	}
	return nil
}

// sealedTag returns a tag at its sealed digest, for the journal.
func sealedTag(seen manifestSeen, e v1alpha1.ArtifactStatus) journal.Tag {
	return journal.Tag{Store: client.ObjectKeyFromObject(seen.store), Manifest: seen.manifest.Name, Repository: e.Repository, Tag: e.ArtifactVersion, Digest: e.Digest}
}

// reseatOne records the digest that is about to lose the tag (I4) and then moves the tag, all
// on fresh evidence (I3). It checks that the sealed digest exists before it writes anything.
func (r *Reconciler) reseatOne(ctx context.Context, seen manifestSeen, e v1alpha1.ArtifactStatus) (note string, err error) {
	ctx, cancel := context.WithTimeout(ctx, release.MaxEvidence)
	defer cancel()
	reg, err := r.sanction(ctx, seen, e)
	if err != nil {
		return "", err
	}
	if _, err := reg.Resolve(ctx, e.Repository, e.Digest); err != nil {
		return "", err
	}
	var from digest.Digest
	if tag := seen.tags[inventory.KeyOf(e)]; tag.there {
		over := e
		over.Digest, over.MediaType, over.Size = tag.digest, tag.mediaType, tag.size
		grave, err := r.recordOverwritten(ctx, seen, over)
		if err != nil {
			return "", err
		}
		from, note = digest.Digest(tag.digest), fmt.Sprintf(" What was there, %s, is kept in tombstone %s.", tag.digest, grave)
	}
	err = reg.MoveTag(ctx, e.Repository, e.ArtifactVersion, from, digest.Digest(e.Digest))
	if errors.Is(err, registry.ErrTagTaken) {
		err = fmt.Errorf("%w: %w", reference.ErrSuperseded, err) // the tag was overwritten again: start over
	}
	return note, err
}

// sanction reads, live, everything that justifies overwriting a tag: that the
// manifest has not changed, is not being deleted and still asks for it, that its
// store owns its place (I9), and that no StoreScoped manifest lists the tag, too.
func (r *Reconciler) sanction(ctx context.Context, seen manifestSeen, e v1alpha1.ArtifactStatus) (*registry.Client, error) {
	if err := r.Releaser.Unchanged(ctx, seen.manifest); err != nil { // a deletion also raises the generation
		return nil, err
	}
	all, err := r.Releaser.AllStores(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(s v1alpha1.ArtifactStore) bool { return s.UID == seen.store.UID })
	if i < 0 {
		return nil, fmt.Errorf("reading store %s: %w", seen.store.Name, reference.ErrSuperseded)
	}
	s := all[i].DeepCopy() // the list is shared
	if why, err := r.Releaser.Inert(s, all); err != nil || why != "" {
		return nil, errors.Join(err, fmt.Errorf("reading store %s: %w", s.Name, reference.ErrSuperseded))
	}
	listed, err := r.Releaser.Listed(ctx, s, all)
	if err != nil {
		return nil, err
	}
	if by, shared := listed[e.Repository+":"+e.ArtifactVersion]; shared {
		return nil, fmt.Errorf("%s: %w", by, release.ErrShared)
	}
	return r.Registries.Open(ctx, s)
}

// annotate removes the annotation nfo.dev/restore-digest once its order is completed, and keeps
// nfo.dev/sealed-digests up to date. It fails with a conflict if the manifest was written since.
func (r *Reconciler) annotate(ctx context.Context, m *v1alpha1.ArtifactManifest, answered bool) error {
	if !m.DeletionTimestamp.IsZero() {
		return nil
	}
	want := seal(m)
	if !answered && want == m.Annotations[v1alpha1.AnnotationSealedDigests] {
		return nil
	}
	patch := client.MergeFromWithOptions(pass.Clone(m), client.MergeFromWithOptimisticLock{})
	if answered {
		delete(m.Annotations, v1alpha1.AnnotationRestoreDigest)
	}
	delete(m.Annotations, v1alpha1.AnnotationSealedDigests)
	if want != "" {
		metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.AnnotationSealedDigests, want)
	}
	return client.IgnoreNotFound(r.Patch(ctx, m, patch))
}
