package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
)

// charts reports for each chart where the images are that it needs, and what follows for the manifest.
func (seen manifestSeen) charts(v *manifestVerdict) {
	known := seen.read.Over(seen.manifest.Status.Charts)
	listed := v.artifacts[:min(len(seen.manifest.Spec.Artifacts), len(v.artifacts))]
	var unseen, unread int
	room := v1alpha1.MaxImages
	v.charts = nil
	for _, a := range listed {
		if a.Digest == "" {
			unseen++ // it may be a chart
		}
		if a.ConfigMediaType != chart.ConfigMediaType || a.Digest == "" {
			continue
		}
		c, ok := known[inventory.KeyOf(a)]
		if !ok || c.Digest != a.Digest {
			unread++
			continue
		}
		c.Images = slices.Clone(c.Images[:min(len(c.Images), room)])
		room -= len(c.Images)
		for i := range c.Images {
			seen.elsewhere.Place(&c.Images[i], seen.manifest, seen.location, listed)
		}
		v.charts = append(v.charts, c)
	}
	seen.complete(v, unseen, unread)
}

// lacks returns the last segments of the names of the images that charts need and the manifest does not list.
func (seen manifestSeen) lacks() []string {
	charts := seen.read.Over(seen.manifest.Status.Charts)
	if len(charts) == 0 {
		return nil
	}
	listed := inventory.Entries(seen.manifest, seen.location)[:len(seen.manifest.Spec.Artifacts)]
	names := map[string]bool{}
	for _, c := range charts {
		for _, image := range c.Images {
			if seen.elsewhere.Place(&image, seen.manifest, seen.location, listed); image.State == v1alpha1.ImageMissing {
				names[inventory.LastSegment(inventory.ParseImage(image.Image).Name)] = true
			}
		}
	}
	return slices.Collect(maps.Keys(names))
}

// needs are the images that a manifest's charts need and the manifest does not have, sorted by remedy.
type needs struct {
	problems, missing, foreign, other, remarks []string
	unmatched                                  []string // those listed at another digest
	images                                     int      // how many are needed
}

func needsOf(charts []v1alpha1.ChartStatus) needs {
	var n needs
	for _, c := range charts {
		chart := c.ArtifactName + ":" + c.ArtifactVersion
		if c.Problem != "" {
			n.problems = append(n.problems, chart+": "+strings.TrimSuffix(c.Problem, "."))
		}
		if c.Remark != "" {
			n.remarks = append(n.remarks, chart+": "+strings.TrimSuffix(c.Remark, "."))
		}
		if int(c.ImageCount) > len(c.Images) {
			n.problems = append(n.problems, fmt.Sprintf("%s names %d images, of which the first %d are looked for", chart, c.ImageCount, len(c.Images)))
		}
		for _, i := range c.Images {
			if !i.Optional {
				n.add(i, " (chart "+chart+")")
			}
		}
	}
	return n
}

func (n *needs) add(i v1alpha1.ChartImage, by string) {
	n.images++
	switch {
	case i.State == v1alpha1.ImageMissing && i.Repository != "":
		n.unmatched = append(n.unmatched, fmt.Sprintf("%s in %s%s", i.Image, cmp.Or(i.Manifest, "this manifest"), by))
	case i.State == v1alpha1.ImageMissing:
		n.missing = append(n.missing, i.Image+by)
	case i.State == v1alpha1.ImageForeign:
		n.foreign = append(n.foreign, i.Image+by)
	case i.State == v1alpha1.ImageOtherManifest:
		n.other = append(n.other, fmt.Sprintf("%s in %s%s", i.Image, i.Manifest, by))
	}
}

// complete sets the condition Complete: whether all images that the charts need
// exist. The worst finding gives the reason, and the message has all findings.
func (seen manifestSeen) complete(v *manifestVerdict, unseen, unread int) {
	n := needsOf(v.charts)
	status, reason := metav1.ConditionStatus(""), ""
	var says []string
	found := func(s metav1.ConditionStatus, r, format string, args ...any) {
		if reason == "" {
			status, reason = s, r
		}
		says = append(says, fmt.Sprintf(format, args...))
	}
	if len(n.problems) > 0 {
		found(metav1.ConditionFalse, v1alpha1.ReasonChartUnreadable, "The image list of some charts is incomplete: %s. If a chart needs the address of its registry to be rendered, set registryValuesPaths in the definition to the value that takes it; otherwise correct the chart, or the definitions that are named. Everything in this manifest is still protected; in other manifests only the images found so far are.", v1alpha1.FirstOf(n.problems, reference.NamedHolders))
	}
	if len(n.missing) > 0 {
		found(metav1.ConditionFalse, v1alpha1.ReasonMissingImage, "No manifest of the store lists %s. List them here and push them, or correct the charts' values.", v1alpha1.FirstOf(n.missing, reference.NamedHolders))
	}
	if len(n.unmatched) > 0 {
		found(metav1.ConditionFalse, v1alpha1.ReasonMissingImage, "Listed, at another digest: %s. The definitions that deploy the charts hold what is listed, which keeps the digest if it is one platform of it. If it is not, list it under a tag of its own and push it, or correct the charts' values.", v1alpha1.FirstOf(n.unmatched, reference.NamedHolders))
	}
	if len(n.foreign) > 0 {
		found(metav1.ConditionFalse, v1alpha1.ReasonForeignImage,
			"Charts name images outside of this store, which nothing here keeps: %s. Set registryValuesPaths in each definition that deploys the charts to where they take their registry, or change the charts.", v1alpha1.FirstOf(n.foreign, reference.NamedHolders))
	}
	switch {
	case unread > 0 && seen.read.Trouble != nil:
		found(metav1.ConditionUnknown, pass.ReasonOf(seen.read.Trouble), "%d of %d charts have been read: %s", len(v.charts), len(v.charts)+unread, pass.Explain(seen.read.Trouble))
	case unread > 0:
		found(metav1.ConditionUnknown, v1alpha1.ReasonPending, "%d of %d charts have been read.", len(v.charts), len(v.charts)+unread)
	case unseen > 0:
		found(metav1.ConditionUnknown, v1alpha1.ReasonPending, "%s not been seen in the registry yet; there may be charts among them.", v1alpha1.Count(unseen, "artifact has", "artifacts have"))
	}
	if len(n.other) > 0 {
		found(metav1.ConditionTrue, v1alpha1.ReasonOtherManifest, "Its charts need %s. Some are in other manifests, which the definitions that deploy the charts hold, too: %s.", v1alpha1.Count(n.images, "image", "images"), v1alpha1.FirstOf(n.other, reference.NamedHolders))
	}
	if len(says) == 0 {
		found(metav1.ConditionTrue, v1alpha1.ReasonComplete, "This manifest has all images that its charts need (%s, %s).", v1alpha1.Count(n.images, "image", "images"), v1alpha1.Count(len(v.charts), "chart", "charts"))
	}
	if len(n.remarks) > 0 {
		says = append(says, fmt.Sprintf("This concerns no image that is needed: %s.", v1alpha1.FirstOf(n.remarks, reference.NamedHolders)))
	}
	v.conditions.Set(v1alpha1.ConditionComplete, status, reason, strings.Join(says, " "))
}
