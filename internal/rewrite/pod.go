package rewrite

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// StaticPod is the annotation of a pod in the API that represents
	// a static pod of a node. Such a pod is refused if it was changed.
	StaticPod = "kubernetes.io/config.mirror"
	// pullNever is the pull policy of an image that is never pulled.
	pullNever = "Never"
	// maxAnnotations is the API server's limit for all annotations of an object, in bytes.
	maxAnnotations = 256 << 10
	// maxOriginals bounds the annotation with the original images, in bytes. A pod that would need more is not rewritten.
	maxOriginals = 32 << 10
)

// Pod has the fields of a pod that decide which images it runs. Other fields are never changed.
type Pod struct {
	Metadata Metadata `json:"metadata"`
	Spec     Spec     `json:"spec"`
}

// Metadata has the fields of a pod's metadata that decide how its images are handled.
type Metadata struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Spec has the fields of a pod's spec that contain images.
type Spec struct {
	Containers []Container `json:"containers"`
	Init       []Container `json:"initContainers"`
	Ephemeral  []Container `json:"ephemeralContainers"`
	Volumes    []Volume    `json:"volumes"`
}

// Container is a container of any type.
type Container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	Pull  string `json:"imagePullPolicy"`
}

// Volume is a volume. Image is nil unless an image is its source.
type Volume struct {
	Name  string       `json:"name"`
	Image *VolumeImage `json:"image"`
}

// VolumeImage is the image of a volume.
type VolumeImage struct {
	Reference string `json:"reference"`
	Pull      string `json:"pullPolicy"`
}

// Change is a new image in one place of a pod.
type Change struct {
	Place
	From, To string
	// Image is the original image, to which both From and To refer.
	Image Image
}

// Which selects places of a pod. A nil Which selects all of them.
type Which func(Place) bool

func (w Which) has(p Place) bool { return w == nil || w(p) }

// OptsOut reports whether the pod's images are never changed, whatever the rules say: those
// of a static pod, and of a pod with the label that disables the mirror.
func (p *Pod) OptsOut() bool {
	_, static := p.Metadata.Annotations[StaticPod]
	return static || p.Metadata.Labels[v1alpha1.LabelMirror] == v1alpha1.MirrorDisabled
}

// Rewrite changes the images of a pod so that they are pulled from the mirror, and returns the changes. If the policy
// is to rewrite only present images, it calls present to find out whether the mirror has an image. Images that were
// rewritten before do not change, so a second Rewrite does nothing.
func (p *Pod) Rewrite(r Rules, present func(Image) bool, which Which) []Change {
	policy := r.Policy()
	if policy == v1alpha1.RewriteNever || p.OptsOut() {
		return nil
	}
	var changes []Change
	for _, s := range p.slots() {
		if s.pull == pullNever || !which.has(s.Place) {
			continue
		}
		i, err := Parse(*s.image)
		if err != nil || !r.Mirrors(i) || (policy == v1alpha1.RewritePresent && !present(i)) {
			continue
		}
		changes = append(changes, Change{Place: s.Place, From: *s.image, To: i.At(r.address), Image: i})
	}
	if len(changes) == 0 {
		return nil
	}
	originals := p.originals()
	for _, c := range changes {
		originals[c.String()] = c.From
	}
	if !p.remember(originals) {
		return nil
	}
	p.apply(changes)
	return changes
}

// Restore gives a pod its original images back, and returns the changes. address is the mirror's address, by which it
// recognises images that are missing in the annotation; "" if it is not known.
func (p *Pod) Restore(address string, which Which) []Change {
	var changes []Change
	originals := p.originals()
	for _, s := range p.slots() {
		if !which.has(s.Place) {
			continue
		}
		if from, ok := original(*s.image, originals[s.String()], address); ok {
			i, _ := Parse(from) // original has parsed it already
			changes = append(changes, Change{Place: s.Place, From: *s.image, To: from, Image: i})
		}
	}
	for _, c := range changes {
		delete(originals, c.String())
	}
	if len(changes) > 0 && p.remember(originals) {
		p.apply(changes)
		return changes
	}
	return nil
}

// Mirrored returns the images of a pod that the rules mirror, with
// their places. It finds both original and rewritten references.
func (p *Pod) Mirrored(r Rules) map[Image][]Place {
	found, originals := map[Image][]Place{}, p.originals()
	for _, s := range p.slots() {
		image := *s.image
		if from, ok := original(image, originals[s.String()], r.address); ok {
			image = from
		}
		if i, err := Parse(image); err == nil && s.pull != pullNever && r.Mirrors(i) {
			found[i] = append(found[i], s.Place)
		}
	}
	return found
}

// Rewritten reports whether the image in a place comes from the
// mirror, and returns the original image. address is as in Restore.
func (p *Pod) Rewritten(address string, at Place) (Image, bool) {
	originals := p.originals()
	for _, s := range p.slots() {
		if s.String() != at.String() {
			continue
		}
		if from, ok := original(*s.image, originals[s.String()], address); ok {
			i, err := Parse(from)
			return i, err == nil
		}
	}
	return Image{}, false
}

// original returns the image before it was rewritten. It is the one in the annotation if
// that is the same image, else the one that the reference itself refers to.
func original(image, noted, address string) (string, bool) {
	if i, err := Parse(noted); err == nil && image != noted && strings.HasSuffix(image, "/"+i.Path()+i.suffix()) {
		return noted, true
	}
	i, ok := Original(image, address)
	return i.String(), ok
}

// originals returns the images in the annotation; none if the annotation cannot be decoded.
func (p *Pod) originals() map[string]string {
	all := map[string]string{}
	text := p.Metadata.Annotations[v1alpha1.AnnotationOriginalImages]
	if len(text) > maxOriginals || json.Unmarshal([]byte(text), &all) != nil || all == nil {
		return map[string]string{}
	}
	return all
}

// remember writes the annotation, and reports whether it fits
// into its limits. If it does not fit, the pod is unchanged.
func (p *Pod) remember(originals map[string]string) bool {
	annotations := maps.Clone(p.Metadata.Annotations)
	delete(annotations, v1alpha1.AnnotationOriginalImages)
	if len(originals) > 0 {
		text, err := json.Marshal(originals)
		if err != nil || len(text) > maxOriginals {
			return false
		}
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[v1alpha1.AnnotationOriginalImages] = string(text)
	}
	size := 0
	for name, value := range annotations {
		size += len(name) + len(value)
	}
	if size > maxAnnotations {
		return false
	}
	p.Metadata.Annotations = annotations
	return true
}

func (p *Pod) apply(changes []Change) {
	to := map[string]string{}
	for _, c := range changes {
		to[c.String()] = c.To
	}
	for _, s := range p.slots() {
		if image, ok := to[s.String()]; ok {
			*s.image = image
		}
	}
}
