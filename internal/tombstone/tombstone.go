package tombstone

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// DigestLost is the reason of a tombstone's entry whose digest the registry does not have.
const DigestLost = v1alpha1.ReasonUndoLost + ": the registry says that the digest does not exist"

// DigestDeleted is the reason of a tombstone's entry whose digest
// was deleted by a purge that kept other digests of the entry.
const DigestDeleted = v1alpha1.ReasonUndoLost + ": a purge has deleted the digest; push it again"

// RestoredDigest returns the digest of an entry that a restore uses.
func RestoredDigest(a v1alpha1.TombstoneArtifact) string { return a.Digests[len(a.Digests)-1] }

// Restores reports whether a tombstone restores a tag at a digest.
func Restores(t *v1alpha1.Tombstone, repository, tag, digest string) bool {
	return slices.ContainsFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool {
		return a.Repository == repository && a.Tag == tag && RestoredDigest(a) == digest
	})
}

// Name returns the name of the tombstone of a whole manifest (cause Released), of an entry that was
// removed, given as repository:tag, or of a digest that was overwritten, given as repository:tag@digest.
func Name(m *v1alpha1.ArtifactManifest, cause v1alpha1.Cause, of string) string {
	if cause == v1alpha1.CauseReleased {
		return v1alpha1.TombstoneName(m.Name, m.UID, "")
	}
	return v1alpha1.TombstoneName(m.Name, m.UID, v1alpha1.TombstoneSuffix(cause, of))
}

// Beside returns the name of one of the 16 tombstones for entries that left a released manifest's list
// and do not fit into the manifest's own tombstone. The same entry always has the same tombstone.
func Beside(m *v1alpha1.ArtifactManifest, of string) string {
	share := v1alpha1.TombstoneSuffix(v1alpha1.CauseReleased, of)[:1]
	return v1alpha1.TombstoneName(m.Name, m.UID, v1alpha1.TombstoneSuffix(v1alpha1.CauseReleased, share))
}

// Elsewhere returns the name of a tombstone whose usual name is taken by a tombstone of
// another place, as after a store was deleted by force and created again with another URL.
func Elsewhere(t *v1alpha1.Tombstone) string {
	m := t.Spec.Manifest
	return v1alpha1.TombstoneName(m.Name, m.UID, v1alpha1.TombstoneSuffix(t.Spec.Cause, t.Spec.RegistryURL+" "+t.Name))
}

// SamePlace reports whether two tombstones belong to the same place.
func SamePlace(a, b *v1alpha1.Tombstone) bool {
	if a.Spec.RegistryURL == b.Spec.RegistryURL {
		return true
	}
	here, err := v1alpha1.ParseRegistryURL(a.Spec.RegistryURL)
	there, otherErr := v1alpha1.ParseRegistryURL(b.Spec.RegistryURL)
	return err == nil && otherErr == nil && here.Same(there)
}

// MaxEntries and MaxDigests are the API's maximum number of entries of a tombstone, and of digests of one entry.
const (
	MaxEntries = 1024
	MaxDigests = 256
)

// New returns the tombstone of a manifest without any digest.
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

// ByManifest is the field index of tombstones by the name of their manifest.
const ByManifest = "spec.manifest.name"

// Here returns the tombstones in all that belong to a place and are not being deleted.
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

// ByHost is the field index of tombstones by the registry's host, as in RegistryLocation.RegistryName.
const ByHost = "spec.registryURL"
