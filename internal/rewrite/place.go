package rewrite

import "fmt"

// Place is a field of a pod that contains an image.
type Place struct {
	// List is the field of the spec: containers, initContainers, ephemeralContainers or volumes.
	List string
	// Name is the name of the container or volume.
	Name string
	// Index is the position in the list.
	Index int
}

// The lists of a pod's spec whose elements contain images.
const (
	Containers = "containers"
	Init       = "initContainers"
	Ephemeral  = "ephemeralContainers"
	Volumes    = "volumes"
)

// String returns the key of a place in the annotation: containers/upf.
func (p Place) String() string { return p.List + "/" + p.Name }

// Pointer returns the JSON pointer of the image's field in the pod.
func (p Place) Pointer() string {
	field := "image"
	if p.List == Volumes {
		field = "image/reference"
	}
	return fmt.Sprintf("/spec/%s/%d/%s", p.List, p.Index, field)
}

// Mutable reports whether the image can be changed after the pod was created.
func (p Place) Mutable() bool { return p.List == Containers || p.List == Init }

// slot is a place with its image and pull policy.
type slot struct {
	Place
	image *string
	pull  string
}

func (p *Pod) slots() []slot {
	var all []slot
	for _, of := range []struct {
		list       string
		containers []Container
	}{{Containers, p.Spec.Containers}, {Init, p.Spec.Init}, {Ephemeral, p.Spec.Ephemeral}} {
		for i := range of.containers {
			c := &of.containers[i]
			all = append(all, slot{Place{of.list, c.Name, i}, &c.Image, c.Pull})
		}
	}
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; v.Image != nil {
			all = append(all, slot{Place{Volumes, v.Name, i}, &v.Image.Reference, v.Image.Pull})
		}
	}
	return all
}

// Named is a place with its image.
type Named struct {
	Place
	Image string
}

// Places returns all places of the pod that contain an image.
func (p *Pod) Places() []Named {
	var all []Named
	for _, s := range p.slots() {
		all = append(all, Named{s.Place, *s.image})
	}
	return all
}
