package tombstone

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// DigestLost is the reason of a tombstone's entry whose digest the registry does not have.
const DigestLost = v1alpha1.ReasonUndoLost + ": the registry says that the digest does not exist"

// DigestDeleted is the reason of one whose digest a purge has deleted while others of the entry were kept.
const DigestDeleted = v1alpha1.ReasonUndoLost + ": a purge has deleted the digest; push it again"

// RestoredDigest is the digest of an entry that a restore takes.
func RestoredDigest(a v1alpha1.TombstoneArtifact) string { return a.Digests[len(a.Digests)-1] }

// Restores reports whether a tombstone puts a tag back at a digest.
func Restores(t *v1alpha1.Tombstone, repository, tag, digest string) bool {
	return slices.ContainsFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool {
		return a.Repository == repository && a.Tag == tag && RestoredDigest(a) == digest
	})
}

// Name names the tombstone of a manifest (cause Released), or of one thing of it: of an entry
// that was removed, as repository:tag, or of a digest that was overwritten, as repository:tag@digest.
func Name(m *v1alpha1.ArtifactManifest, cause v1alpha1.Cause, of string) string {
	if cause == v1alpha1.CauseReleased {
		return v1alpha1.TombstoneName(m.Name, m.UID, "")
	}
	return v1alpha1.TombstoneName(m.Name, m.UID, v1alpha1.TombstoneSuffix(cause, of))
}

// Beside names one of the 16 tombstones of what has left a released manifest's list and has no room in its own: the same one
// whenever it is asked for.
func Beside(m *v1alpha1.ArtifactManifest, of string) string {
	share := v1alpha1.TombstoneSuffix(v1alpha1.CauseReleased, of)[:1]
	return v1alpha1.TombstoneName(m.Name, m.UID, v1alpha1.TombstoneSuffix(v1alpha1.CauseReleased, share))
}

// Elsewhere names a tombstone whose usual name one of another place has: a store was deleted by force and made anew elsewhere.
func Elsewhere(t *v1alpha1.Tombstone) string {
	m := t.Spec.Manifest
	return v1alpha1.TombstoneName(m.Name, m.UID, v1alpha1.TombstoneSuffix(t.Spec.Cause, t.Spec.RegistryURL+" "+t.Name))
}

// SamePlace reports whether two tombstones are of one place.
func SamePlace(a, b *v1alpha1.Tombstone) bool {
	if a.Spec.RegistryURL == b.Spec.RegistryURL {
		return true
	}
	here, err := v1alpha1.ParseRegistryURL(a.Spec.RegistryURL)
	there, otherErr := v1alpha1.ParseRegistryURL(b.Spec.RegistryURL)
	return err == nil && otherErr == nil && here.Same(there)
}

// MaxEntries and MaxDigests are the API's bounds on the entries of a tombstone, and on the digests of one entry.
const (
	MaxEntries = 1024
	MaxDigests = 256
)

// New is the tombstone of a manifest before any digest is in it.
func New(m *v1alpha1.ArtifactManifest, s *v1alpha1.ArtifactStore, cause v1alpha1.Cause, name string) *v1alpha1.Tombstone {
	return &v1alpha1.Tombstone{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: name},
		Spec: v1alpha1.TombstoneSpec{
			RegistryURL: s.RegistryURL(),
			Manifest:    v1alpha1.TombstoneManifest{Name: m.Name, UID: m.UID, Spec: m.Spec},
			Cause:       cause,
			GracePeriod: s.Spec.Purge.GracePeriod,
		},
	}
}

// ByManifest is the field index of tombstones by the manifest that they are of.
const ByManifest = "spec.manifest.name"

// Here are those of some tombstones that are of a place and stay.
func Here(all []v1alpha1.Tombstone, l v1alpha1.RegistryLocation) []*v1alpha1.Tombstone {
	var here []*v1alpha1.Tombstone
	for i := range all {
		at, err := v1alpha1.ParseRegistryURL(all[i].Spec.RegistryURL)
		if err == nil && at.Same(l) && all[i].DeletionTimestamp.IsZero() {
			here = append(here, &all[i])
		}
	}
	return here
}

// ByHost is the field index of tombstones by the registry's host, as RegistryLocation.RegistryName has it.
const ByHost = "spec.registryURL"
