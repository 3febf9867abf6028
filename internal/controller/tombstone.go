package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// tombstoneName names the tombstone of a manifest (cause Released), or of one thing of it: of an entry
// that was removed, as repository:tag, or of a digest that was overwritten, as repository:tag@digest.
func tombstoneName(m *v1alpha1.ArtifactManifest, cause v1alpha1.Cause, of string) string {
	if cause == v1alpha1.CauseReleased {
		return v1alpha1.TombstoneName(m.Name, m.UID, "")
	}
	return v1alpha1.TombstoneName(m.Name, m.UID, v1alpha1.TombstoneSuffix(cause, of))
}

// maxDigests is the API's bound on the digests of one entry.
const maxDigests = 256

// newTombstone is the tombstone of a manifest before any digest is in it.
func newTombstone(m *v1alpha1.ArtifactManifest, s *v1alpha1.ArtifactStore, cause v1alpha1.Cause, name string) *v1alpha1.Tombstone {
	return &v1alpha1.Tombstone{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: name},
		Spec: v1alpha1.TombstoneSpec{
			RegistryURL: s.Spec.Registry.URL,
			Manifest:    v1alpha1.TombstoneManifest{Name: m.Name, UID: m.UID, Spec: m.Spec},
			Cause:       cause,
			GracePeriod: s.Spec.Purge.GracePeriod,
		},
	}
}

// record stores what is about to lose its tag (I4) and returns the tombstone as stored. Entries
// whose tag is there are reset first, so that no grace of an earlier release counts for them.
func (r *releaser) record(ctx context.Context, t *v1alpha1.Tombstone, found []finding) (*v1alpha1.Tombstone, error) {
	stored := &v1alpha1.Tombstone{}
	err := r.live.Get(ctx, client.ObjectKeyFromObject(t), stored)
	if apierrors.IsNotFound(err) {
		grow(t, found)
		if err := r.api.Create(ctx, t); err != nil {
			return nil, fmt.Errorf("writing tombstone %s/%s: %w", t.Namespace, t.Name, err)
		}
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading tombstone %s/%s: %w", t.Namespace, t.Name, err)
	}
	found = slices.Clone(found)
	for i := range found {
		e := stored.Entry(found[i].Repository, found[i].ArtifactVersion)
		found[i].anew = e.State == v1alpha1.TombstoneRestored || e.State == v1alpha1.TombstonePurged
	}
	if reset(stored, found) {
		if err := r.api.Status().Update(ctx, stored); err != nil {
			return nil, fmt.Errorf("resetting tombstone %s/%s: %w", t.Namespace, t.Name, err)
		}
	}
	if grow(stored, found) {
		if err := r.api.Update(ctx, stored); err != nil {
			return nil, fmt.Errorf("adding digests to tombstone %s/%s: %w", t.Namespace, t.Name, err)
		}
	}
	return stored, nil
}

// grow adds what was found to the tombstone's list. Digests are only ever added; the one seen
// now, or that was sealed, becomes the last, which is the one that a restore takes. What was recorded of a tag that is
// no longer there may be older than what a release that is not done yet has seen.
func grow(t *v1alpha1.Tombstone, found []finding) (changed bool) {
	for _, f := range found {
		i := slices.IndexFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool {
			return a.Repository == f.Repository && a.Tag == f.ArtifactVersion
		})
		if i < 0 {
			t.Spec.Artifacts = append(t.Spec.Artifacts, v1alpha1.TombstoneArtifact{Repository: f.Repository, Tag: f.ArtifactVersion})
			i = len(t.Spec.Artifacts) - 1
		}
		changed = f.growEntry(&t.Spec.Artifacts[i]) || changed
	}
	return changed
}

func (f finding) growEntry(a *v1alpha1.TombstoneArtifact) (changed bool) {
	if !f.there && !f.anew && len(a.Digests) > 0 {
		if slices.Contains(a.Digests, f.Digest) || len(a.Digests) >= maxDigests {
			return false // a digest that is not recorded stays in the registry, and nothing purges it
		}
		a.Digests = slices.Insert(a.Digests, 0, f.Digest)
		return true
	}
	for _, d := range f.digests() {
		if len(a.Digests) >= maxDigests && !slices.Contains(a.Digests, d) {
			a.Digests = slices.Delete(a.Digests, 0, 1) // the oldest stays in the registry, and nothing purges it
		}
		if at := slices.Index(a.Digests, d); at < 0 || (d == f.kept().Digest && at != len(a.Digests)-1) {
			a.Digests = append(slices.DeleteFunc(a.Digests, func(o string) bool { return o == d }), d)
			changed = true
		}
	}
	a.MediaType, a.Size = f.kept().MediaType, f.kept().Size
	return changed
}

// reset makes the entries that are released once more start anew: not a candidate, whatever
// they were before.
func reset(t *v1alpha1.Tombstone, found []finding) (changed bool) {
	for _, f := range found {
		e := t.Entry(f.Repository, f.ArtifactVersion)
		fresh := e.State == v1alpha1.TombstonePending && e.UntaggedAt == nil
		resumed := !f.there && (e.State == v1alpha1.TombstoneUntagged || e.State == v1alpha1.TombstoneKept)
		if fresh || resumed {
			continue
		}
		t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: f.Repository, Tag: f.ArtifactVersion, State: v1alpha1.TombstonePending})
		changed = true
	}
	if changed {
		t.Summarise()
	}
	return changed
}

// bury begins the grace of what has lost its tag, and stores that.
func (r *releaser) bury(ctx context.Context, t *v1alpha1.Tombstone, reasons map[string]string, keep time.Duration) error {
	if !t.BeginGrace(metav1.NewTime(r.now()), keep, reasons) {
		return nil
	}
	if err := r.api.Status().Update(ctx, t); err != nil {
		return fmt.Errorf("recording that tags of tombstone %s/%s are removed: %w", t.Namespace, t.Name, err)
	}
	return nil
}
