package input

import (
	"cmp"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// Resource is one AOSM resource in the input.
type Resource struct {
	ID       arm.ID
	Named    string // the id as it was written, "" where a template has only a name
	API      string // its API version, "" where it is not known
	Template bool   // a template has it, not an answer
	Value    template.Value
	// Also is the same resource elsewhere in the input, with other content.
	Also []Resource
}

// Properties are a resource's own members. The az command line lifts them up to the resource itself.
func (r Resource) Properties() template.Value {
	if p := r.Value.Get("properties"); p.There() {
		if p, err := p.Resolve(); err == nil {
			return p
		}
	}
	return r.Value
}

// Options are what the documents do not say of themselves.
type Options struct {
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
	*finding.Report
	session *template.Session
	options Options

	found []Resource
	// byKey has where in found the resource of a key is.
	byKey map[string]int
	// apis are the API versions given that a resource took.
	apis  map[string]bool
	stray bool // the document that is read was found in a directory
}

// Collect finds the resources of all documents, templates and answers alike. It returns them, each once, with the
// API versions given that one of them took.
func Collect(documents []*Document, o Options, s *template.Session, r *finding.Report) (found []Resource, apis map[string]bool) {
	c := &collector{Report: r, session: s, options: o, byKey: map[string]int{}, apis: map[string]bool{}}
	c.readDocuments(documents)
	return c.found, c.apis
}

// addAnswer notes a resource of an answer.
func (c *collector) addAnswer(r Resource) {
	c.setAPI(&r)
	c.addResource(r)
}

// addResource notes a resource. The same one again is the same, or the other of an answer and a template, or a
// contradiction. What is taken does not depend on the order.
func (c *collector) addResource(r Resource) {
	i, again := c.byKey[r.ID.Key()]
	if !again {
		c.byKey[r.ID.Key()] = len(c.found)
		c.found = append(c.found, r)
		return
	}
	first := &c.found[i]
	a, errA := first.Value.Rendered()
	b, errB := r.Value.Rendered()
	if errA == nil && errB == nil && a == b && first.Template == r.Template {
		r.Value.Close()
		c.Tell(finding.Note, r.Value.Node, "the same is at %s, too", first.Value.Path())
		return
	}
	if id := first.ID; arm.Differ(id.Subscription, r.ID.Subscription) || arm.Differ(id.Group, r.ID.Group) {
		c.Unmapped(r.Value.Node, "it is another resource than that of the same name at %s, which was taken, of subscription %q, resource group %q; import it alone, with a namespace of its own (-n)", first.Value.Path(), arm.Clip(id.Subscription), arm.Clip(id.Group))
		return
	}
	taken, other, also := *first, r, first.Also
	if prefers(r, b, *first, a) {
		taken, other = r, *first
	}
	other.Also = nil
	taken.Also = append(also, other)
	taken.API = cmp.Or(taken.API, other.API)
	taken.ID.Subscription, taken.ID.Group = cmp.Or(taken.ID.Subscription, other.ID.Subscription), cmp.Or(taken.ID.Group, other.ID.Group)
	*first = taken
}

// prefers reports whether one of two contents of a resource is taken: an answer, which is what there is, before
// a template; else the longer one.
func prefers(a Resource, textA string, b Resource, textB string) bool {
	if a.Template != b.Template {
		return b.Template
	}
	return cmp.Or(cmp.Compare(len(textA), len(textB)), strings.Compare(textA, textB)) > 0
}

// setAPI is the API version of an answer: that which was given for it, which it says itself, or which was
// given for all.
func (c *collector) setAPI(r *Resource) {
	names := []string{}
	for _, name := range r.ID.Names {
		names = append(names, arm.Fold(name))
	}
	if len(names) >= 2 {
		for _, key := range []string{strings.Join(names, "/"), names[0] + "/" + names[1], names[1]} {
			if given, ok := c.options.APIVersions[key]; ok && strings.HasPrefix(r.ID.Type(), arm.TypeStore) {
				c.apis[key] = true
				r.API = given
				return
			}
		}
	}
	if said := r.Value.Get("apiVersion"); said.AsText() != "" {
		r.API = said.AsText()
		return
	}
	r.API = c.options.APIVersion
}
