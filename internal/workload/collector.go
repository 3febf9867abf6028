package workload

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
)

const (
	// maxUses bounds what a reading finds in a store, and maxOwners the objects with others above them. Each takes some
	// 300 bytes. Past them a source is Failed.
	maxUses   = 200_000
	maxOwners = 200_000
)

// collector takes from objects what names a store. It is safe for concurrent use.
type collector struct {
	names names
	// records are the release records that are being read.
	records *records

	mu     sync.Mutex
	owners map[types.UID]owned
	found  map[found]bool
	// objects and references of the source that is being read.
	objects, references int32
}

// found is a use by an object, of which the top is not known yet.
type found struct {
	by  owned
	use Use
}

func newCollector(n names) *collector {
	return &collector{names: n, owners: map[types.UID]owned{}, found: map[found]bool{}}
}

// workload reads one object that makes pods, or a pod.
func (c *collector) workload(kind string, one livelist.Decoder) error {
	var o object
	if err := one.Decode(&o); err != nil {
		return fmt.Errorf("reading a %s: %w", kind, err)
	}
	self := o.owned(kind)
	by := self
	if by.above.uid != "" { // so that the many pods of one owner are one
		by.object.Kind, by.object.Name, by.terminating = "", "", false
	}
	uses := map[Use]bool{}
	o.each(func(image, part string) { c.image(uses, image, part, false) }, func(image, part string) { c.ran(uses, image, part) }, func(image, id, part string) {
		for _, n := range c.names.pulled(image, id) {
			u := n.by(part)
			u.Seen = c.names.images
			uses[u] = true
		}
	})
	if kind == "Pod" {
		return c.add(nil, o.Metadata.UID, by, uses)
	}
	return c.add(&self, o.Metadata.UID, by, uses)
}

// maxPart bounds the name of a part, in bytes: that of a container has 63.
const maxPart = 128

// partOf is a part on one line that can be printed, cut to maxPart bytes.
func partOf(part string) string { return v1alpha1.Clip(v1alpha1.Line(part), maxPart) }

// image adds the use of an image or chart that is named as images are, if it is in the store.
func (c *collector) image(uses map[Use]bool, named, part string, whole bool) {
	if n, ok := c.names.find(named); ok {
		u := n.by(part)
		u.Whole = whole
		uses[u] = true
	}
}

// ran adds the use of an image under the name that a node has for it.
func (c *collector) ran(uses map[Use]bool, named, part string) {
	n, ok := c.names.find(named)
	if !ok {
		return
	}
	u := n.by(part)
	if named := u; !uses[named] { // also named by the object
		u.Seen = c.names.images
	}
	uses[u] = true
}

// by is the use of a name by a part of an object.
func (n name) by(part string) Use {
	return Use{Part: partOf(part), Repository: n.repository, Tag: n.tag, Digest: n.digest}
}

// add notes an object that others may name as their owner, and what is used by it.
func (c *collector) add(self *owned, uid types.UID, by owned, uses map[Use]bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects++
	// Of others that are owners all is known from the reference to them.
	if self != nil && (self.above.uid != "" || self.terminating) {
		c.owners[uid] = *self
	}
	for u := range uses {
		if f := (found{by, u}); !c.found[f] {
			c.found[f] = true
			c.references++
		}
	}
	if len(c.found) > maxUses || len(c.owners) > maxOwners {
		return fmt.Errorf("there are more than %d uses of the store, or %d objects with owners", maxUses, maxOwners)
	}
	return nil
}

// uses are all uses, each by the object at the top.
func (c *collector) uses() map[Use]bool {
	all := map[Use]bool{}
	for f := range c.found {
		by := top(f.by, c.owners)
		f.use.Holder, f.use.Terminating = by.object, by.terminating
		all[f.use] = true
	}
	return all
}
