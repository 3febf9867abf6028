package workload

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/weight"
	"github.com/nfo-operator/nfo/internal/workload/named"
)

const (
	// maxOwners bounds the remembered objects that have an owner. Beyond it, the holder of
	// a use is the direct owner of the object instead of the top-level owner.
	maxOwners = 200_000
	// useBytes is the memory that a use takes in addition to its strings, in bytes.
	useBytes = 200
)

// collector collects from objects the references to a store. It is safe for concurrent use.
type collector struct {
	names named.Names
	// records are the release records of this reading.
	records *records

	mu     sync.Mutex
	owners map[types.UID]owned
	// found has the uses by namespace. bytes is the memory that they take, and most is its bound over all namespaces.
	found map[string]map[found]bool
	bytes weight.Weights[string]
	most  int
	// coarse has the namespaces whose uses are merged into one for each repository.
	coarse map[string]bool
	// objects and references count those of the source that is being read.
	objects, references int32
}

// found is a use by an object whose top-level owner is not resolved yet.
type found struct {
	by  owned
	use Use
}

func newCollector(n named.Names, most int) *collector {
	return &collector{names: n, most: most, owners: map[types.UID]owned{}, found: map[string]map[found]bool{}, coarse: map[string]bool{}}
}

// workload reads one pod, or one object that creates pods.
func (c *collector) workload(kind string, one livelist.Decoder) error {
	var o object
	if err := one.Decode(&o); err != nil {
		return fmt.Errorf("reading a %s: %w", kind, err)
	}
	self := o.owned(kind)
	by := self
	if by.above.uid != "" { // so that the equal uses of all pods of one owner count once
		by.object.Kind, by.object.Name, by.terminating = "", "", false
	}
	uses := map[Use]bool{}
	o.each(func(image, part string) { c.image(uses, image, part, false) }, func(image, part string) { c.ran(uses, image, part) }, func(image, id, part string) {
		for _, n := range c.names.Pulled(image, id) {
			u := useOf(n, part)
			u.Seen = c.names.Images
			uses[u] = true
		}
	})
	if kind == "Pod" {
		return c.add(nil, o.Metadata.UID, by, uses)
	}
	return c.add(&self, o.Metadata.UID, by, uses)
}

// maxPart bounds the name of a part, in bytes. The name of a container has at most 63.
const maxPart = 128

// partOf returns a part as one printable line, cut to maxPart bytes.
func partOf(part string) string { return v1alpha1.Clip(v1alpha1.Line(part), maxPart) }

// image adds the use of an image or chart, given by its image reference, if it is in the store.
func (c *collector) image(uses map[Use]bool, image, part string, whole bool) {
	if n, ok := c.names.Find(image); ok {
		u := useOf(n, part)
		u.Whole = whole
		uses[u] = true
	}
}

// ran adds the use of an image by the reference that a node reports for it.
func (c *collector) ran(uses map[Use]bool, image, part string) {
	n, ok := c.names.Find(image)
	if !ok {
		return
	}
	u := useOf(n, part)
	if !uses[u] { // otherwise the object itself has the same reference
		u.Seen = c.names.Images
	}
	uses[u] = true
}

// useOf returns the use of a name by a part of an object.
func useOf(n named.Name, part string) Use {
	return Use{Part: partOf(part), Repository: n.Repository, Tag: n.Tag, Digest: n.Digest}
}

// add records an object that others may reference as their owner, and its uses.
func (c *collector) add(self *owned, uid types.UID, by owned, uses map[Use]bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects++
	// For all other owners, the owner reference of the owned object says everything.
	if self != nil && (self.above.uid != "" || self.terminating) && len(c.owners) < maxOwners {
		c.owners[uid] = *self
	}
	namespace := by.object.Namespace
	for u := range uses {
		if c.use(namespace, found{by, u}) {
			c.references++
		}
	}
	return c.fit()
}

// use records a use by an object of a namespace, and reports whether it is new.
func (c *collector) use(namespace string, f found) bool {
	if c.coarse[namespace] {
		f = f.coarse(namespace)
	}
	if c.found[namespace] == nil {
		c.found[namespace] = map[found]bool{}
	}
	if c.found[namespace][f] {
		return false
	}
	c.found[namespace][f] = true
	c.bytes.Add(namespace, f.use.bytes()+len(f.by.object.Name)+len(f.by.above.name))
	return true
}

// fit merges the uses of the namespace with the most of them while the total exceeds the bound. More of that
// namespace's images are then kept than it needs; other namespaces are not affected. If the merged uses of a namespace
// still exceed the bound, the error names that namespace.
func (c *collector) fit() error {
	for c.bytes.All() > c.most {
		namespace := c.bytes.Heaviest()
		if c.coarse[namespace] {
			return fmt.Errorf("workloads of namespace %s name too many repositories of this store. Delete those that are not needed, and bound by a ResourceQuota how many objects that namespace may have", namespace)
		}
		c.coarse[namespace] = true
		exact := c.found[namespace]
		delete(c.found, namespace)
		c.bytes.Add(namespace, -c.bytes.Of(namespace))
		for f := range exact {
			c.use(namespace, f)
		}
	}
	return nil
}

// coarse returns a use by a namespace that stands for a whole repository. A
// digest that may be in any repository becomes a use of all repositories.
func (f found) coarse(namespace string) found {
	use := Use{Repository: f.use.Repository, Chart: f.use.Chart, Whole: f.use.Whole, Any: true, Part: "more images than are told apart"}
	if use.Repository == "" && f.use.Digest != "" {
		use.Chart = ""
	}
	return found{by: owned{object: reference.Object{Kind: "Namespace", Namespace: namespace, Name: namespace}}, use: use}
}

// uses returns all uses, each with its top-level owner as the holder.
func (c *collector) uses() map[Use]bool {
	all := map[Use]bool{}
	for _, in := range c.found {
		for f := range in {
			by := top(f.by, c.owners)
			f.use.Holder, f.use.Terminating = by.object, by.terminating
			all[f.use] = true
		}
	}
	return all
}
