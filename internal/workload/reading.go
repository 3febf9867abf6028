package workload

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// ErrUnreadable is wrapped while a selected source cannot be read. Any artifact of the store may then be in use, so
// errors that wrap ErrUnreadable are also reference.ErrHoldersUnknown.
var ErrUnreadable = errors.New("nfo cannot read what workloads run")

// unreadable is an error that says which sources cannot be read.
type unreadable struct{ missing string }

func (u unreadable) Error() string { return fmt.Sprintf("%v: %s", ErrUnreadable, u.missing) }

func (u unreadable) Is(target error) bool {
	return target == ErrUnreadable || target == reference.ErrHoldersUnknown
}

// Use is one use of an image or chart of a store by a workload.
type Use struct {
	// Holder is the top-level owner of the object that contains the reference.
	Holder reference.Object
	// Terminating is true when the holder is being deleted. It still holds.
	Terminating bool
	// Part is the place of the reference in the holder: a container, a revision.
	Part string
	// Repository is the full path in the store's registry. If it is "", the use is of any repository whose last segment is
	// Chart, or of any repository at all if Chart is "" too.
	Repository, Chart string
	// Tag is "" if the reference has a digest, except in a Reading of
	// images: there both may be set, and the digest is what is pulled.
	Tag, Digest string
	// Seen is true if only a node reports this reference, and no object contains it. It is set only in Readings of images.
	Seen bool
	// Whole is true for a chart. Its use is also a use of all other entries of the chart's manifest.
	Whole bool
	// Any is true if the use stands for every tag and digest of its repository,
	// because the Holder, a namespace, has too many uses to keep each of them.
	Any bool
}

// bytes returns the memory that the use takes.
func (u Use) bytes() int {
	return useBytes + len(u.Part) + len(u.Repository) + len(u.Chart) + len(u.Tag) + len(u.Digest)
}

// String says which object uses the artifact and in which part: "deployments/ran/upf uses it (container web)".
func (u Use) String() string {
	if u.Part == "" {
		return u.Holder.String() + " uses it"
	}
	return fmt.Sprintf("%s uses it (%s)", u.Holder, u.Part)
}

// fits reports whether the use is of a tag in a repository, or of one of the given digests there.
func (u Use) fits(repository, tag string, digests ...string) bool {
	switch {
	case u.Repository != "" && u.Repository != repository:
		return false
	case u.Digest != "":
		return slices.Contains(digests, u.Digest)
	case u.Repository == "" && u.Chart != "" && u.Chart != path.Base(repository):
		return false
	case u.Any:
		return true
	}
	return tag != "" && u.Tag == tag
}

// Reading is the result of reading the workloads that a store selects. It is immutable.
type Reading struct {
	// Begun is the time when the first list began, on the monotonic clock.
	Begun time.Time
	// Sources are the selected ones, in the order of the store's spec.
	Sources []v1alpha1.WorkloadSourceStatus
	// Namespaces is the number of selected namespaces; nil if all are selected, or if they could not be read.
	Namespaces *int32
	// uses has the uses by repository, sorted; "" has those that
	// may be in any repository. bytes is the memory that they take.
	uses  map[string][]Use
	bytes int
	// whole and coarse are true if at least one use is Whole, or has Any.
	whole, coarse bool
}

// Unreadable returns an error that wraps ErrUnreadable and says what is missing; nil if all sources were read.
func (r *Reading) Unreadable() error {
	if r == nil {
		return nil
	}
	if missing := (&v1alpha1.WorkloadsStatus{Sources: r.Sources}).Unreadable(); missing != "" {
		return unreadable{missing}
	}
	return nil
}

// remedy begins the part of a Denied source's message that says how to grant the missing permission.
const remedy = ". An administrator grants this"

// Cause returns the part of a Denied source's message that the API server wrote.
func Cause(message string) string {
	cause, _, _ := strings.Cut(message, remedy)
	return cause
}

// Of returns the uses of a tag in a repository, or of digests there, sorted. A nil Reading has none.
func (r *Reading) Of(repository, tag string, digests ...string) []Use {
	if r == nil {
		return nil
	}
	var all []Use
	for _, uses := range [][]Use{r.uses[repository], r.uses[""]} {
		for _, u := range uses {
			if u.fits(repository, tag, digests...) {
				all = append(all, u)
			}
		}
	}
	return all
}

// Uses iterates over all uses, by repository and then in the order of Of.
// Those that may be in any repository come first. A nil Reading has none.
func (r *Reading) Uses() iter.Seq[Use] {
	return func(yield func(Use) bool) {
		if r == nil {
			return
		}
		for _, repository := range slices.Sorted(maps.Keys(r.uses)) {
			for _, u := range r.uses[repository] {
				if !yield(u) {
					return
				}
			}
		}
	}
}

// ByNamespace returns the uses of each namespace as a separate Reading.
func (r *Reading) ByNamespace() map[string]*Reading {
	all := map[string]*Reading{}
	for u := range r.Uses() { // in order, so that the uses of each namespace are sorted too
		in := all[u.Holder.Namespace]
		if in == nil {
			in = &Reading{Begun: r.Begun, Sources: r.Sources, uses: map[string][]Use{}}
			all[u.Holder.Namespace] = in
		}
		in.add(u)
	}
	return all
}

// All returns a use that stands for the whole of a repository, and reports whether there is one.
func (r *Reading) All(repository string) (Use, bool) {
	if !r.Coarse() {
		return Use{}, false
	}
	n := slices.IndexFunc(r.uses[repository], func(u Use) bool { return u.Any })
	if n < 0 {
		return Use{}, false
	}
	return r.uses[repository][n], true
}

// Coarse reports whether at least one use stands for a whole repository. A nil Reading has none.
func (r *Reading) Coarse() bool { return r != nil && r.coarse }

// Digests returns the digests that are referenced in a repository, each with its first use. It does not contain the
// digests of charts that may be in any repository, nor uses that stand for the whole repository; see Of and All.
func (r *Reading) Digests(repository string) map[string]Use {
	all := map[string]Use{}
	if r == nil {
		return all
	}
	for _, u := range r.uses[repository] {
		if _, have := all[u.Digest]; u.Digest != "" && !have {
			all[u.Digest] = u
		}
	}
	return all
}

// Changed returns the repositories whose uses differ between this reading and the
// one before. "" is in it if the uses that may be in any repository differ.
func (r *Reading) Changed(before *Reading) map[string]bool {
	changed := map[string]bool{}
	for _, pair := range [][2]*Reading{{r, before}, {before, r}} {
		if pair[0] == nil {
			continue
		}
		for repository, uses := range pair[0].uses {
			if pair[1] == nil || !slices.Equal(uses, pair[1].uses[repository]) {
				changed[repository] = true
			}
		}
	}
	return changed
}

// Holders returns the holders of entries of a manifest, sorted, each once. The use of a chart holds all entries of its
// manifest, even if the chart itself is not among the given entries.
func (r *Reading) Holders(m *v1alpha1.ArtifactManifest, entries []v1alpha1.ArtifactStatus) []reference.Holder {
	found := map[reference.Object]*reference.Holder{}
	for i, e := range slices.Concat(entries, r.beside(m)) {
		for _, u := range r.Of(e.Repository, e.ArtifactVersion, e.Digest, e.MovedTo) {
			if i >= len(entries) && !u.Whole {
				continue
			}
			h := found[u.Holder]
			if h == nil {
				h = &reference.Holder{Object: u.Holder, Terminating: u.Terminating}
				found[u.Holder] = h
			}
			by := reference.Reference{To: reference.Self(m), Artifact: e.ArtifactName, Version: e.ArtifactVersion, Part: u.Part}
			if !slices.Contains(h.References, by) {
				h.References = append(h.References, by)
			}
		}
	}
	all := make([]reference.Holder, 0, len(found))
	for _, h := range found {
		all = append(all, *h)
	}
	reference.SortHolders(all)
	return all
}

// beside returns the entries of the manifest, among which there may be a
// chart whose use holds all of them. It returns nil if no use is Whole.
func (r *Reading) beside(m *v1alpha1.ArtifactManifest) []v1alpha1.ArtifactStatus {
	if r == nil || !r.whole {
		return nil
	}
	return m.Status.Artifacts
}

// NewReading returns a Reading of the given uses.
func NewReading(begun time.Time, found map[Use]bool) *Reading {
	r := &Reading{Begun: begun, uses: map[string][]Use{}}
	for u := range found {
		r.add(u)
	}
	for _, uses := range r.uses {
		slices.SortFunc(uses, compareUses)
	}
	return r
}

func (r *Reading) add(u Use) {
	r.uses[u.Repository] = append(r.uses[u.Repository], u)
	r.whole, r.coarse = r.whole || u.Whole, r.coarse || u.Any
}

func compareUses(a, b Use) int {
	return cmp.Or(cmp.Compare(a.Holder.Kind, b.Holder.Kind), cmp.Compare(a.Holder.Namespace, b.Holder.Namespace), cmp.Compare(a.Holder.Name, b.Holder.Name),
		cmp.Compare(a.Part, b.Part), cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Chart, b.Chart), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Digest, b.Digest), boolean(a.Seen)-boolean(b.Seen), boolean(a.Whole)-boolean(b.Whole))
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Keeps says which workload keeps an entry of a tombstone (I14): one that uses its tag or one of its
// digests, or a chart that was released with it. It returns "" if none does. movedOn says that the tag
// now has another digest, so that the tag no longer pulls the old digest.
func (r *Reading) Keeps(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact, movedOn bool) string {
	tag := a.Tag
	if movedOn {
		tag = ""
	}
	if uses := r.Of(a.Repository, tag, a.Digests...); len(uses) > 0 {
		return uses[0].String()
	}
	for _, with := range t.Spec.Artifacts {
		for _, u := range r.Of(with.Repository, with.Tag, with.Digests...) {
			if u.Whole {
				return fmt.Sprintf("%s, and with it all of %s", u, t.Spec.Manifest.Name)
			}
		}
	}
	return ""
}
