package aosm

import (
	"cmp"
	"strings"
)

// resource is one AOSM resource in the input.
type resource struct {
	id       resourceID
	named    string // the id as it was written, "" where a template has only a name
	api      string // its API version, "" where it is not known
	template bool   // a template has it, not an answer
	value    value
	// also is the same resource elsewhere in the input, with other content.
	also []resource
}

// properties are a resource's own members. The az command line lifts them up to the resource itself.
func (r resource) properties() value {
	if p := r.value.get("properties"); p.there() {
		if p, err := p.resolve(); err == nil {
			return p
		}
	}
	return r.value
}

// inputOptions are what the documents do not say of themselves.
type inputOptions struct {
	// Parameters of templates, beyond the defaults that these have.
	Parameters Parameters
	// APIVersion is the one that answers are of, which do not say it; "" where it is not known.
	APIVersion string
	// APIVersions are those of a store's manifests by STORE or PUBLISHER/STORE, or of one manifest by
	// PUBLISHER/STORE/MANIFEST, in lower case. They go before APIVersion.
	APIVersions map[string]string
}

// collector collects the resources of the documents of one import.
type collector struct {
	*report
	session *session
	options inputOptions

	found []resource
	// byKey has where in found the resource of a key is.
	byKey map[string]int
	// apis are the API versions given that a resource took.
	apis  map[string]bool
	stray bool // the document that is read was found in a directory
}

// collect finds the resources of all documents, templates and answers alike. It returns them, each once, with the
// API versions given that one of them took.
func collect(documents []*document, o inputOptions, s *session, r *report) (found []resource, apis map[string]bool) {
	c := &collector{report: r, session: s, options: o, byKey: map[string]int{}, apis: map[string]bool{}}
	c.readDocuments(documents)
	return c.found, c.apis
}

// addAnswer notes a resource of an answer.
func (c *collector) addAnswer(r resource) {
	c.setAPI(&r)
	c.addResource(r)
}

// addResource notes a resource. The same one again is the same, or the other of an answer and a template, or a
// contradiction. What is taken does not depend on the order.
func (c *collector) addResource(r resource) {
	i, again := c.byKey[r.id.key()]
	if !again {
		c.byKey[r.id.key()] = len(c.found)
		c.found = append(c.found, r)
		return
	}
	first := &c.found[i]
	a, errA := first.value.rendered()
	b, errB := r.value.rendered()
	if errA == nil && errB == nil && a == b && first.template == r.template {
		r.value.close()
		c.tell(Note, r.value.node, "the same is at %s, too", first.value.path())
		return
	}
	if id := first.id; differ(id.subscription, r.id.subscription) || differ(id.group, r.id.group) {
		c.unmapped(r.value.node, "it is another resource than that of the same name at %s, which was taken, of subscription %q, resource group %q; import it alone, with a namespace of its own (-n)", first.value.path(), clip(id.subscription), clip(id.group))
		return
	}
	taken, other, also := *first, r, first.also
	if prefers(r, b, *first, a) {
		taken, other = r, *first
	}
	other.also = nil
	taken.also = append(also, other)
	taken.api = cmp.Or(taken.api, other.api)
	taken.id.subscription, taken.id.group = cmp.Or(taken.id.subscription, other.id.subscription), cmp.Or(taken.id.group, other.id.group)
	*first = taken
}

// prefers reports whether one of two contents of a resource is taken: an answer, which is what there is, before
// a template; else the longer one.
func prefers(a resource, textA string, b resource, textB string) bool {
	if a.template != b.template {
		return b.template
	}
	return cmp.Or(cmp.Compare(len(textA), len(textB)), strings.Compare(textA, textB)) > 0
}

// setAPI is the API version of an answer: that which was given for it, which it says itself, or which was
// given for all.
func (c *collector) setAPI(r *resource) {
	names := []string{}
	for _, name := range r.id.names {
		names = append(names, fold(name))
	}
	if len(names) >= 2 {
		for _, key := range []string{strings.Join(names, "/"), names[0] + "/" + names[1], names[1]} {
			if given, ok := c.options.APIVersions[key]; ok && strings.HasPrefix(r.id.typ(), typeStore) {
				c.apis[key] = true
				r.api = given
				return
			}
		}
	}
	if said := r.value.get("apiVersion"); said.text1() != "" {
		r.api = said.text1()
		return
	}
	r.api = c.options.APIVersion
}
