package workload

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/internal/reference"
)

// object has the fields of a workload that can contain images, in all places where kinds have them: spec,
// spec.template, spec.jobTemplate, template, and the data of a ControllerRevision.
type object struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		podSpec
		Template    template `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template template `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
	Template template        `json:"template"`
	Data     json.RawMessage `json:"data"`
	Revision int64           `json:"revision"`
	Status   struct {
		Containers []containerStatus `json:"containerStatuses"`
		Init       []containerStatus `json:"initContainerStatuses"`
		Ephemeral  []containerStatus `json:"ephemeralContainerStatuses"`
	} `json:"status"`
}

type metadata struct {
	Name              string                  `json:"name"`
	Namespace         string                  `json:"namespace"`
	UID               types.UID               `json:"uid"`
	DeletionTimestamp *metav1.Time            `json:"deletionTimestamp"`
	OwnerReferences   []metav1.OwnerReference `json:"ownerReferences"`
	Annotations       map[string]string       `json:"annotations"`
}

type template struct {
	Spec podSpec `json:"spec"`
}

type podSpec struct {
	Containers []container `json:"containers"`
	Init       []container `json:"initContainers"`
	Ephemeral  []container `json:"ephemeralContainers"`
	Volumes    []struct {
		Name  string `json:"name"`
		Image struct {
			Reference string `json:"reference"`
		} `json:"image"`
	} `json:"volumes"`
}

type container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
}

type containerStatus struct {
	Name    string `json:"name"`
	Image   string `json:"image"`
	ImageID string `json:"imageID"`
}

// deploymentRevision is the annotation of a ReplicaSet with its revision of the Deployment.
const deploymentRevision = "deployment.kubernetes.io/revision"

// revision returns which revision of its owner an object is, as the end of a part; "" if it is not a revision.
func (o *object) revision() string {
	if len(o.Data) > 0 {
		return fmt.Sprintf(", revision %d", o.Revision)
	}
	if n, err := strconv.Atoi(o.Metadata.Annotations[deploymentRevision]); err == nil {
		return fmt.Sprintf(", revision %d", n)
	}
	return ""
}

// originalImages is the annotation of a pod whose images were rewritten. Its value is a JSON object with the original
// images, keyed by field, such as containers/upf.
const originalImages = "nfo.dev/original-images"

// originals calls f with the images that a pod had before they were rewritten. These count in addition to the new ones,
// because the pod gets them back when the mirror is removed.
func (o *object) originals(f func(image, part string)) {
	var all map[string]string
	if text := o.Metadata.Annotations[originalImages]; text == "" || json.Unmarshal([]byte(text), &all) != nil {
		return
	}
	for at, image := range all {
		kind, name, _ := strings.Cut(at, "/")
		f(image, cmp.Or(map[string]string{"containers": "container ", "initContainers": "init container ", "ephemeralContainers": "ephemeral container ", "volumes": "volume "}[kind], kind+" ")+name)
	}
}

// each calls f with every image reference in an object, and the part that contains it. It
// calls ran with the image that a node reports for each container, and pulled with each
// image reference of a container and the imageID that a node reports for it.
func (o *object) each(f, ran func(image, part string), pulled func(image, id, part string)) {
	o.originals(f)
	for _, s := range []podSpec{o.Spec.podSpec, o.Spec.Template.Spec, o.Spec.JobTemplate.Spec.Template.Spec, o.Template.Spec, o.recorded()} {
		s.each(func(image, part string) { f(image, part+o.revision()) })
	}
	named := map[string][]string{}
	name := func(image, part string) { named[part] = append(named[part], image) }
	o.originals(name)
	o.Spec.each(name)
	for kind, all := range map[string][]containerStatus{"container ": o.Status.Containers, "init container ": o.Status.Init, "ephemeral container ": o.Status.Ephemeral} {
		for _, s := range all {
			ran(s.Image, kind+s.Name)
			for _, image := range append(named[kind+s.Name], s.Image) {
				pulled(image, s.ImageID, kind+s.Name)
			}
		}
	}
}

// recorded returns the pod template that a ControllerRevision can restore. Data of another shape was written by a
// controller outside Kubernetes, or cannot be applied.
func (o *object) recorded() podSpec {
	var data struct {
		Spec struct {
			Template template `json:"template"`
		} `json:"spec"`
	}
	if !strings.HasPrefix(string(o.Data), "{") || json.Unmarshal(o.Data, &data) != nil {
		return podSpec{}
	}
	return data.Spec.Template.Spec
}

func (s podSpec) each(f func(image, part string)) {
	for kind, all := range map[string][]container{"container ": s.Containers, "init container ": s.Init, "ephemeral container ": s.Ephemeral} {
		for _, c := range all {
			f(c.Image, kind+c.Name)
		}
	}
	for _, v := range s.Volumes {
		f(v.Image.Reference, "volume "+v.Name)
	}
}

// maxDepth bounds the chain of owners above an object. Real chains are short, but references can form a cycle.
const maxDepth = 8

// owned is an object and its owner.
type owned struct {
	object      reference.Object
	terminating bool
	above       owner
}

// owner is the controlling owner of an object, from its owner reference. The zero owner means that there is none.
type owner struct {
	uid        types.UID
	kind, name string
}

// ownerOf returns the controlling owner of an object. A Node, which owns its static pods, does not count.
func ownerOf(m metadata) owner {
	for _, r := range m.OwnerReferences {
		static := r.Kind == "Node" && r.APIVersion == "v1"
		if r.Controller != nil && *r.Controller && !static {
			return owner{r.UID, kindOf(r), r.Name}
		}
	}
	return owner{}
}

// kindOf returns the kind of an owner, with its group unless that is a group of Kubernetes.
func kindOf(r metav1.OwnerReference) string {
	group, _, grouped := strings.Cut(r.APIVersion, "/")
	if !grouped || group == "apps" || group == "batch" {
		return r.Kind
	}
	return r.Kind + "." + group
}

// top returns the top-level owner of o.
func top(o owned, all map[types.UID]owned) owned {
	for range maxDepth {
		if o.above.uid == "" {
			break
		}
		next, known := all[o.above.uid]
		if !known { // it was not listed, so only its kind and name are known
			return owned{object: reference.Object{Kind: o.above.kind, Namespace: o.object.Namespace, Name: o.above.name}}
		}
		o = next
	}
	return o
}

func (o *object) owned(kind string) owned {
	m := o.Metadata
	return owned{reference.Object{Kind: kind, Namespace: m.Namespace, Name: cmp.Or(m.Name, string(m.UID))}, m.DeletionTimestamp != nil, ownerOf(m)}
}
