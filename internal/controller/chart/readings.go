package chart

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/chart/images"
	"github.com/nfo-operator/nfo/internal/inventory"
)

// The API's bounds of what a status says of a chart, in bytes.
const (
	maxProblem = 1024
	maxImage   = 1024
)

// Readings are charts that have been read and are in no status yet, by manifest.
type Readings struct {
	mu sync.Mutex
	of map[types.UID]Reading
}

// Reading is what was read of the charts of one manifest.
type Reading struct {
	Charts map[inventory.Entry]v1alpha1.ChartStatus
	// Trouble is why a chart could not be read; it is tried again.
	Trouble error
}

// NewReadings makes an empty store of them.
func NewReadings() *Readings { return &Readings{of: map[types.UID]Reading{}} }

// put keeps a chart if it was read, and why not all charts of the manifest could be read this time.
func (r *Readings) put(uid types.UID, c v1alpha1.ChartStatus, wasRead bool, trouble error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	charts := map[inventory.Entry]v1alpha1.ChartStatus{}
	for k, v := range r.of[uid].Charts { // others may be reading the old one
		charts[k] = v
	}
	if wasRead {
		charts[inventory.Entry{Name: c.ArtifactName, Version: c.ArtifactVersion}] = c
	}
	r.of[uid] = Reading{charts, trouble}
}

// Get returns what was read for a manifest and is not in its status.
func (r *Readings) Get(uid types.UID) Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[uid]
}

// Over is a reading and, for what it does not have, what was recorded.
func (r Reading) Over(recorded []v1alpha1.ChartStatus) map[inventory.Entry]v1alpha1.ChartStatus {
	all := map[inventory.Entry]v1alpha1.ChartStatus{}
	for _, c := range recorded {
		all[inventory.Entry{Name: c.ArtifactName, Version: c.ArtifactVersion}] = c
	}
	for k, c := range r.Charts {
		all[k] = c
	}
	return all
}

// Written drops what a status has now.
func (r *Readings) Written(m *v1alpha1.ArtifactManifest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.of[m.UID]
	if !ok {
		return
	}
	left := map[inventory.Entry]v1alpha1.ChartStatus{}
	stored := Reading{}.Over(m.Status.Charts)
	for k, c := range have.Charts {
		if !sameReading(stored[k], c) || stored[k].Reader != c.Reader {
			left[k] = c
		}
	}
	if r.of[m.UID] = (Reading{left, have.Trouble}); len(left) == 0 && have.Trouble == nil {
		delete(r.of, m.UID)
	}
}

// Forget drops what was read for a manifest that has gone, or has no charts.
func (r *Readings) Forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, uid)
}

// sameReading reports whether two charts are the same bytes, read the same way.
func sameReading(a, b v1alpha1.ChartStatus) bool {
	return a.Digest == b.Digest && slices.Equal(a.RegistryValuesPaths, b.RegistryValuesPaths) &&
		slices.Equal(a.ImagePullSecretsValuesPaths, b.ImagePullSecretsValuesPaths)
}

// With completes a chart with what was read of it. Where its images lie is not said yet.
func (c chartToRead) with(read chart.Chart, reader string, l v1alpha1.RegistryLocation, err error) v1alpha1.ChartStatus {
	out := c.ChartStatus
	out.Name, out.Version, out.AppVersion, out.Reader = read.Name, read.Version, read.AppVersion, reader
	out.Images = imagesOf(read, l)
	out.ImageCount = int32(len(out.Images))
	out.Images = out.Images[:min(len(out.Images), v1alpha1.MaxImages)]
	if err != nil {
		out.Problem = v1alpha1.Clip(strings.ReplaceAll(err.Error(), "\n", "; "), maxProblem)
	}
	out.Remark = v1alpha1.Clip(strings.Join(read.Remarks, "; "), maxProblem)
	return out
}

// imageOf names an image: without a host if it comes from the store.
func imageOf(i images.Image, l v1alpha1.RegistryLocation) v1alpha1.ChartImage {
	image := v1alpha1.ChartImage{Image: i.Repository, State: v1alpha1.ImageMissing}
	if i.Origin != images.OriginOurs && !l.Contains(v1alpha1.RegistryLocation{Host: i.Host, Prefix: i.Repository}) {
		image.Image, image.State = i.Host+"/"+i.Repository, v1alpha1.ImageForeign
	}
	if i.Tag != "" {
		image.Image += ":" + i.Tag
	}
	if i.Digest != "" {
		image.Image += "@" + i.Digest
	}
	image.Image = v1alpha1.Clip(images.Readable(image.Image), maxImage) // a host may have any length
	return image
}

// imagesOf lists the images that a chart names, each once, those that are deployed by default first.
func imagesOf(read chart.Chart, l v1alpha1.RegistryLocation) []v1alpha1.ChartImage {
	at := map[string]int{}
	var all []v1alpha1.ChartImage
	for _, i := range read.Images {
		if i.Host == "" {
			continue
		}
		image := imageOf(i, l)
		image.Place, image.Optional = i.Sources[0].String(), i.Optional()
		if image.Optional {
			image.OptionalReason = v1alpha1.OptionalReason(i.Why)
		}
		j, seen := at[image.Image]
		switch {
		case !seen:
			at[image.Image] = len(all)
			all = append(all, image)
		case optionalRank(image) < optionalRank(all[j]):
			all[j] = image
		}
	}
	slices.SortFunc(all, func(a, b v1alpha1.ChartImage) int {
		return cmp.Or(cmp.Compare(min(optionalRank(a), 1), min(optionalRank(b), 1)), cmp.Compare(a.Image, b.Image))
	})
	return all
}

// optionalRank is 0 for an image that is needed, and more the less is known of its use.
func optionalRank(i v1alpha1.ChartImage) int {
	return 1 + slices.Index([]v1alpha1.OptionalReason{v1alpha1.OptionalTest, v1alpha1.OptionalDependency, v1alpha1.OptionalValues}, i.OptionalReason)
}
