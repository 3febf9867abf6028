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
	// Holders, when not empty, is what appeared; nothing was released.
	Holders []reference.Holder
	// Untouched says why the registry was left alone; "" when it was not.
	Untouched string
	// Tombstones are the names of what was written.
	Tombstones []string
	// listed are tags that stay because other manifests list them, each with the manifest.
	listed []string
	// stay is true when tags stay until the purge, for the registry cannot remove them alone.
	stay bool
	// Absent are entries, as repository:tag, whose tags the registry says do not exist although nfo did not
	// remove them. It is asked again after wait before the release is done.
	Absent []string
	Wait   time.Duration
}

// Finding is an entry of a manifest as the registry shows it right before its release.
type Finding struct {
	v1alpha1.ArtifactStatus
	earlier string // the digest recorded before, when the tag has moved since
	There   bool   // whether the tag is there
	anew    bool   // whether an earlier release of it is over
	// sealed is the entry at the digest that it was sealed at, where the tag is at another one: a restore
	// takes that. nil for what is not sealed, or is where it was.
	sealed *v1alpha1.ArtifactStatus
}

// kept is the entry at the digest that a restore is to take.
func (f Finding) kept() v1alpha1.ArtifactStatus {
	if f.sealed != nil {
		return *f.sealed
	}
	return f.ArtifactStatus
}

// digests are those that the tag was seen at, the one that a restore takes last.
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

// Task is what is to be released. Evidence tells whether it still is.
type Task struct {
	Manifest *v1alpha1.ArtifactManifest
	// Location is where the manifest's store was when the entries were listed; the zero value if there was no store.
	Location v1alpha1.RegistryLocation
	Entries  []v1alpha1.ArtifactStatus
	Cause    v1alpha1.Cause
}

func (f Finding) growEntry(a *v1alpha1.TombstoneArtifact) (changed bool) {
	if !f.There && !f.anew && len(a.Digests) > 0 {
		if slices.Contains(a.Digests, f.Digest) || len(a.Digests) >= tombstone.MaxDigests {
			return false // a digest that is not recorded stays in the registry, and nothing purges it
		}
		a.Digests = slices.Insert(a.Digests, 0, f.Digest)
		return true
	}
	for _, d := range f.digests() {
		if len(a.Digests) >= tombstone.MaxDigests && !slices.Contains(a.Digests, d) {
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

// Owned are the entries that are in the manifest's own path (I9). What a manifest has recorded at
// the store-scoped path, from before its upgrade, is never touched.
func (j Task) Owned(l v1alpha1.RegistryLocation) []v1alpha1.ArtifactStatus {
	return slices.DeleteFunc(slices.Clone(j.Entries), func(e v1alpha1.ArtifactStatus) bool { return !l.Owns(j.Manifest.Name, e.Repository) })
}

// Outcome says what became of the tags of a manifest.
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
