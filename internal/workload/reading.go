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

// ErrUnreadable is wrapped while a selected source cannot be read: anything of the store may be in use, so that errors with it
// are reference.ErrHoldersUnknown, too.
var ErrUnreadable = errors.New("nfo cannot read what workloads run")

// unreadable says which sources cannot be read.
type unreadable struct{ missing string }

func (u unreadable) Error() string { return fmt.Sprintf("%v: %s", ErrUnreadable, u.missing) }

func (u unreadable) Is(target error) bool {
	return target == ErrUnreadable || target == reference.ErrHoldersUnknown
}

// Use is one use of something in a store by a workload.
type Use struct {
	// Holder is the object at the top of the one that names it.
	Holder reference.Object
	// Terminating is true when the holder is being deleted. It still holds.
	Terminating bool
	// Part is what of the holder names it: a container, a revision.
	Part string
	// Repository is the whole one in the store's registry, "" for any one whose last segment is Chart, and without Chart for any at all.
	Repository, Chart string
	// Tag is "" where a digest is named, unless the Reading is of images: then both may be set, and the digest is what is
	// used.
	Tag, Digest string
	// Seen: a node has it so, and no object names it so. Readings of stores do not tell.
	Seen bool
	// Whole: it is a chart, and with it everything is used that is in its manifest.
	Whole bool
	// Any: it stands for every tag and digest of its repository, of which the Holder, a namespace, has more uses than are told
	// apart.
	Any bool
}

// bytes are what it takes in memory.
func (u Use) bytes() int {
	return useBytes + len(u.Part) + len(u.Repository) + len(u.Chart) + len(u.Tag) + len(u.Digest)
}

// String says who uses it and by which part: "deployments/ran/upf uses it (container web)".
func (u Use) String() string {
	if u.Part == "" {
		return u.Holder.String() + " uses it"
	}
	return fmt.Sprintf("%s uses it (%s)", u.Holder, u.Part)
}

// fits reports whether a use is of a tag in a repository, or of one of the digests that it is known to have, or had.
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

// Reading is what was read of the workloads that a store selects. Nobody changes it.
type Reading struct {
	// Begun is when its first list began, on the monotonic clock.
	Begun time.Time
	// Sources are the selected ones, in the order of the store's spec.
	Sources []v1alpha1.WorkloadSourceStatus
	// Namespaces is how many are selected; nil for all, or if that could not be read.
	Namespaces *int32
	// uses by repository, in order; "" has those that may be anywhere. bytes is what they take.
	uses  map[string][]Use
	bytes int
	// whole and coarse: a use is Whole, or stands for Any of a repository.
	whole, coarse bool
}

// Unreadable wraps ErrUnreadable and says what is missing; nil if all was read.
func (r *Reading) Unreadable() error {
	if r == nil {
		return nil
	}
	if missing := (&v1alpha1.WorkloadsStatus{Sources: r.Sources}).Unreadable(); missing != "" {
		return unreadable{missing}
	}
	return nil
}

// remedy begins what the message of a Denied source says to do, which is about the rights of the operator.
const remedy = ". An administrator grants this"

// Cause is what the API server said, of the message of a Denied source.
func Cause(message string) string {
	cause, _, _ := strings.Cut(message, remedy)
	return cause
}

// Of are the uses of a tag in a repository, or of digests there, in order. A nil Reading has none.
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

// Uses are all uses, by repository and then in the order of Of. Those that may be in any repository come first. A nil
// Reading has none.
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

// ByNamespace are the uses of each namespace, as Readings of their own.
func (r *Reading) ByNamespace() map[string]*Reading {
	all := map[string]*Reading{}
	for u := range r.Uses() { // in order, so that those of a namespace are
		in := all[u.Holder.Namespace]
		if in == nil {
			in = &Reading{Begun: r.Begun, Sources: r.Sources, uses: map[string][]Use{}}
			all[u.Holder.Namespace] = in
		}
		in.add(u)
	}
	return all
}

// All returns a use that stands for all of a repository, and whether one does.
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

// Coarse reports whether a use stands for all of some repository. A nil Reading has none.
func (r *Reading) Coarse() bool { return r != nil && r.coarse }

// Digests are the digests that are named in a repository, each with its first use. Those of charts that may be in any
// repository are not among them, nor those of uses that stand for all of it; see Of and All.
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

// Changed are the repositories of which this reading says another thing than the one before; "" if it does of what may
// be anywhere.
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

// Holders are what uses entries of a manifest, sorted, each once. A chart that is used as a whole uses all that is beside it
// in its manifest, also where the chart itself is not among the entries.
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

// beside are the entries of a manifest among which a chart may be that is used as a whole.
func (r *Reading) beside(m *v1alpha1.ArtifactManifest) []v1alpha1.ArtifactStatus {
	if r == nil || !r.whole {
		return nil
	}
	return m.Status.Artifacts
}

// NewReading makes a Reading of uses.
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
