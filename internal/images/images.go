package images

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/plugin/running"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

// state says whether an image is listed and held.
type state string

const (
	inUse     state = "InUse"
	unused    state = "Unused"
	notListed state = "NotListed"
	unknown   state = "Unknown"
)

// stored has the images of one store.
type stored struct {
	Namespace string `json:"namespace"`
	Store     string `json:"store"`
	URL       string `json:"url"`
	// WorkloadsCount is false for a store without spec.workloads: then running workloads were not checked.
	WorkloadsCount bool    `json:"workloadsCount"`
	Images         []image `json:"images"`
	// Incomplete says what could not be read.
	Incomplete string `json:"incomplete,omitempty"`
}

// image is one image reference of a store.
type image struct {
	// Image is REPOSITORY:TAG or REPOSITORY@DIGEST in the store's registry.
	Image string `json:"image"`
	// Manifests are the names of the manifests that list the image.
	Manifests []string `json:"manifests,omitempty"`
	// HeldBy are the first objects that hold the image: definitions
	// and designs, then workloads. HeldByCount is the number of all.
	HeldBy      []string `json:"heldBy,omitempty"`
	HeldByCount int      `json:"heldByCount"`
	State       state    `json:"state"`
}

// namedHolders is the maximum number of holders of an image that the output names.
const namedHolders = 16

// row collects the manifests and holders of an image.
type row struct {
	manifests []string
	holders   map[reference.Object]bool
}

func (r *row) hold(by ...reference.Object) {
	for _, o := range by {
		r.holders[o] = true
	}
}

// rows has the images of a store by their references.
type rows map[string]*row

func (r rows) of(image string) *row {
	if r[image] == nil {
		r[image] = &row{holders: map[reference.Object]bool{}}
	}
	return r[image]
}

// images returns the images of one store, sorted.
func (p *place) images(s *v1alpha1.ArtifactStore, r running.Running) stored {
	all := stored{Namespace: s.Namespace, Store: s.Name, URL: s.Address(), WorkloadsCount: r.Selected, Images: []image{}, Incomplete: r.Missing}
	l, err := s.Location()
	if err != nil {
		all.Incomplete = fmt.Sprintf("where the images of %s are is not known: %v", reference.Self(s), err)
		return all
	}
	found, listed := rows{}, map[workload.Use]bool{}
	for _, m := range p.manifests {
		if m.Spec.ArtifactStoreRef.Name == s.Name {
			found.manifest(m, l, p.naming.Holders(m), r, listed)
		}
	}
	if r.Coarse() && all.Incomplete == "" {
		all.Incomplete = fmt.Sprintf("a namespace uses more images of %s than are told apart, so that those without a manifest are not listed", reference.Self(s))
	}
	for u := range r.Uses() {
		if !listed[u] && u.Repository != "" && !u.Any { // a chart that may be at any place has no reference to list
			found.of(referenceOf(u)).hold(u.Holder)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		all.Images = append(all.Images, found[name].image(name, r.Missing == ""))
	}
	return all
}

// manifest adds the images that one manifest lists, with their holders. It marks in listed the uses of these images.
func (r rows) manifest(m *v1alpha1.ArtifactManifest, l v1alpha1.RegistryLocation, holders []reference.Holder, run running.Running, listed map[workload.Use]bool) {
	entries := inventory.Entries(m, l)
	var all []reference.Object // the objects that hold each image of the manifest
	for _, h := range holders {
		all = append(all, h.Object)
	}
	for _, e := range entries {
		to := r.of(e.Repository + ":" + e.ArtifactVersion)
		to.manifests = append(to.manifests, m.Name)
		for _, u := range run.Of(e.Repository, e.ArtifactVersion, e.Digest, e.MovedTo) {
			to.hold(u.Holder)
			if listed[u] = true; u.Whole { // a chart needs all of its manifest
				all = append(all, u.Holder)
			}
		}
	}
	seen := run.Recorded(m, nil)
	for _, e := range entries {
		to := r[e.Repository+":"+e.ArtifactVersion]
		to.hold(all...)
		to.hold(recorded(seen, e)...)
	}
}

// recorded returns the holders that the manager recorded as users of an entry of a manifest.
func recorded(holders []reference.Holder, e v1alpha1.ArtifactStatus) []reference.Object {
	var all []reference.Object
	for _, h := range holders {
		if slices.ContainsFunc(h.References, func(r reference.Reference) bool {
			return r.Artifact == e.ArtifactName && r.Version == e.ArtifactVersion
		}) {
			all = append(all, h.Object)
		}
	}
	return all
}

// referenceOf returns the reference by which a workload uses an image.
func referenceOf(u workload.Use) string {
	if u.Digest != "" {
		return u.Repository + "@" + u.Digest
	}
	return u.Repository + ":" + u.Tag
}

// image returns the row as an image of the output. sure is true if everything that could hold the image was read.
func (r *row) image(name string, sure bool) image {
	i := image{Image: name, HeldByCount: len(r.holders)}
	slices.Sort(r.manifests)
	i.Manifests = slices.Compact(r.manifests)
	holders := slices.SortedFunc(maps.Keys(r.holders), func(a, b reference.Object) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.String(), b.String()))
	})
	for _, h := range holders[:min(len(holders), namedHolders)] {
		i.HeldBy = append(i.HeldBy, h.String())
	}
	switch {
	case len(i.Manifests) == 0:
		i.State = notListed
	case len(holders) > 0:
		i.State = inUse
	case sure:
		i.State = unused
	default:
		i.State = unknown
	}
	return i
}

// rank orders nfo's kinds before workloads.
func rank(o reference.Object) int {
	if reference.Runs(o.Kind) {
		return 1
	}
	return 0
}
