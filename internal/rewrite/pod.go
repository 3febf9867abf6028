package rewrite

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// StaticPod is the annotation of the pod in the API that stands for a static pod of a node. A changed one is refused.
	StaticPod = "kubernetes.io/config.mirror"
	// pullNever is the pull policy of an image that nobody pulls.
	pullNever = "Never"
	// maxAnnotations is what the API server allows all annotations of an object to have, in bytes.
	maxAnnotations = 256 << 10
	// maxOriginals bounds the annotation with the originals, in bytes. A pod with more keeps its images.
	maxOriginals = 32 << 10
)

// Pod is what of a pod says which images it runs. Of what it does not have, nothing is changed.
type Pod struct {
	Metadata Metadata `json:"metadata"`
	Spec     Spec     `json:"spec"`
}

// Metadata is what of a pod's metadata decides on its images.
type Metadata struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Spec is what of a pod's spec names images.
type Spec struct {
	Containers []Container `json:"containers"`
	Init       []Container `json:"initContainers"`
	Ephemeral  []Container `json:"ephemeralContainers"`
	Volumes    []Volume    `json:"volumes"`
}

// Container is a container of any kind.
type Container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	Pull  string `json:"imagePullPolicy"`
}

// Volume is a volume, which an image may fill.
type Volume struct {
	Name  string       `json:"name"`
	Image *VolumeImage `json:"image"`
}

// VolumeImage is the image of a volume.
type VolumeImage struct {
	Reference string `json:"reference"`
	Pull      string `json:"pullPolicy"`
}

// Change is another image in one place of a pod.
type Change struct {
	Place
	From, To string
	// Image is the one that both name.
	Image Image
}

// Which selects places of a pod. A nil Which selects all.
type Which func(Place) bool

func (w Which) has(p Place) bool { return w == nil || w(p) }

// OptsOut reports whether the pod's images stay as they are, whatever the rules: those of a static pod, and of a pod
// whose label says so.
func (p *Pod) OptsOut() bool {
	_, static := p.Metadata.Annotations[StaticPod]
	return static || p.Metadata.Labels[v1alpha1.LabelMirror] == v1alpha1.MirrorDisabled
}

// Rewrite lets a pod pull images from the mirror, and returns what it has changed in the pod. present is asked whether
// the mirror has an image, if the policy wants to know. What is rewritten already stays, so that a second Rewrite
// changes nothing.
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

// Restore gives a pod its own images back, and returns what it has changed in the pod. The address is that of the
// mirror, by which images are recognised that are not in the annotation; "" if it is not known.
func (p *Pod) Restore(address string, which Which) []Change {
	var changes []Change
	originals := p.originals()
	for _, s := range p.slots() {
		if !which.has(s.Place) {
			continue
		}
		if from, ok := original(*s.image, originals[s.String()], address); ok {
			i, _ := Parse(from) // original has
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

// Mirrored are the images of a pod that the rules say are mirrored, by whatever name it has them, each once, and where
// they are.
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

// Rewritten reports whether what is in a place comes from the mirror, and which image it is. The address is as in
// Restore.
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

// original is what an image was before it was rewritten: what the annotation says, if that is the same image, and
// otherwise what the image's own name says.
func original(image, noted, address string) (string, bool) {
	if i, err := Parse(noted); err == nil && image != noted && strings.HasSuffix(image, "/"+i.Path()+i.suffix()) {
		return noted, true
	}
	i, ok := Original(image, address)
	return i.String(), ok
}

// originals are those of the annotation; none if it cannot be read.
func (p *Pod) originals() map[string]string {
	all := map[string]string{}
	text := p.Metadata.Annotations[v1alpha1.AnnotationOriginalImages]
	if len(text) > maxOriginals || json.Unmarshal([]byte(text), &all) != nil || all == nil {
		return map[string]string{}
	}
	return all
}

// remember writes the annotation, and reports whether it has room.
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
