package release

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// Released is how a release ended without an error.
type Released struct {
	// Holders, if not empty, are the objects that hold the manifest. Nothing was released, or it was restored.
	Holders []reference.Holder
	// Untouched says why the registry was left unchanged, or "" if it was not.
	Untouched string
	// Tombstones are the names of the tombstones that were written.
	Tombstones []string
	// listed has the tags that stay because other manifests list them, each with the manifest.
	listed []string
	// stay is true if the tags stay until the purge because the registry cannot remove them alone.
	stay bool
	// Absent has the tags, as repository:tag, that the registry says do not exist although nfo
	// did not remove them. The registry is asked again after Wait before the release is complete.
	Absent []string
	Wait   time.Duration
}

// Finding is an entry of a manifest as found in the registry right before its release.
type Finding struct {
	v1alpha1.ArtifactStatus
	earlier string // the digest recorded before, if the tag has moved since
	There   bool   // whether the tag exists
	anew    bool   // whether an earlier release of the entry has been restored or purged
	// sealed is the entry at its promised digest, if the tag is at another digest or missing: a
	// restore uses the promised digest. It is nil if nothing was promised or the tag has not moved.
	sealed *v1alpha1.ArtifactStatus
}

// kept returns the entry at the digest that a restore uses.
func (f Finding) kept() v1alpha1.ArtifactStatus {
	if f.sealed != nil {
		return *f.sealed
	}
	return f.ArtifactStatus
}

// digests returns the digests that the tag was seen at. The last one is the digest that a restore uses.
func (f Finding) digests() []string {
	var all []string
	for _, d := range []string{f.earlier, f.Digest, f.kept().Digest} {
		all = slices.DeleteFunc(all, func(o string) bool { return o == d })
		if d != "" {
			all = append(all, d)
		}
	}
	return all
}

// Task is what is to be released. The evidence decides whether it may still be released.
type Task struct {
	Manifest *v1alpha1.ArtifactManifest
	// Location is the place of the manifest's store when the entries were listed; the zero value if there was no store.
	Location v1alpha1.RegistryLocation
	Entries  []v1alpha1.ArtifactStatus
	Cause    v1alpha1.Cause
}

func (f Finding) growEntry(a *v1alpha1.TombstoneArtifact) (changed bool) {
	if !f.There && !f.anew && len(a.Digests) > 0 {
		if slices.Contains(a.Digests, f.Digest) || len(a.Digests) >= tombstone.MaxDigests {
			return false // the digest that is not recorded stays in the registry, and no purge deletes it
		}
		a.Digests = slices.Insert(a.Digests, 0, f.Digest)
		return true
	}
	for _, d := range f.digests() {
		if len(a.Digests) >= tombstone.MaxDigests && !slices.Contains(a.Digests, d) {
			a.Digests = slices.Delete(a.Digests, 0, 1) // the oldest digest stays in the registry, and no purge deletes it
		}
		if at := slices.Index(a.Digests, d); at < 0 || (d == f.kept().Digest && at != len(a.Digests)-1) {
			a.Digests = append(slices.DeleteFunc(a.Digests, func(o string) bool { return o == d }), d)
			changed = true
		}
	}
	a.MediaType, a.Size = f.kept().MediaType, f.kept().Size
	return changed
}

// Owned returns the entries in the manifest's own path (I9). Entries that a
// manifest recorded at the store-scoped path before its upgrade are never changed.
func (j Task) Owned(l v1alpha1.RegistryLocation) []v1alpha1.ArtifactStatus {
	return slices.DeleteFunc(slices.Clone(j.Entries), func(e v1alpha1.ArtifactStatus) bool { return !l.Owns(j.Manifest.Name, e.Repository) })
}

// Outcome returns a message about what happened to the tags of a manifest.
func (r Released) Outcome() string {
	if len(r.listed) == 0 {
		return r.tombstoned()
	}
	others := fmt.Sprintf("Other manifests list these tags, which stay: %s.", v1alpha1.FirstOf(r.listed, reference.NamedHolders))
	if len(r.Tombstones) == 0 {
		return others
	}
	return r.tombstoned() + " " + others
}

func (r Released) tombstoned() string {
	names := strings.Join(r.Tombstones, ", ")
	switch {
	case names == "":
		return "No artifact of it was in the registry."
	case r.stay:
		return fmt.Sprintf("Its tags are recorded in tombstone %s. The registry cannot remove a tag alone: those that are there stay until a purge removes them with their digests.", names)
	}
	return fmt.Sprintf("Its tags are removed and recorded in tombstone %s. Apply the manifest again to restore them.", names)
}
