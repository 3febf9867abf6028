package workload

import (
	"cmp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/internal/reference"
)

// maxDepth bounds the owners above an object: nobody has more than a few, and references can be a ring.
const maxDepth = 8

// owned is an object and the one above it.
type owned struct {
	object      reference.Object
	terminating bool
	above       owner
}

// owner is the controller of an object, as its owner reference names it. The zero owner is none.
type owner struct {
	uid        types.UID
	kind, name string
}

// ownerOf is the controller of an object. A node, which is that of a static pod, is nobody who could be asked.
func ownerOf(m metadata) owner {
	for _, r := range m.OwnerReferences {
		static := r.Kind == "Node" && r.APIVersion == "v1"
		if r.Controller != nil && *r.Controller && !static {
			return owner{r.UID, kindOf(r), r.Name}
		}
	}
	return owner{}
}

// kindOf is the kind of an owner, with its group if it is not one of Kubernetes.
func kindOf(r metav1.OwnerReference) string {
	group, _, grouped := strings.Cut(r.APIVersion, "/")
	if !grouped || group == "apps" || group == "batch" {
		return r.Kind
	}
	return r.Kind + "." + group
}

// top is the object at the top of one.
func top(o owned, all map[types.UID]owned) owned {
	for range maxDepth {
		if o.above.uid == "" {
			break
		}
		next, known := all[o.above.uid]
		if !known { // it was not listed: it is known by its name alone
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
