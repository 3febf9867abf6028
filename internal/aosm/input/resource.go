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
	Named    string // the most complete id, as written; "" if a template has only a name
	API      string // its API version, "" if it is not known
	Template bool   // the resource is in a template, not in an answer
	Value    template.Value
	// Also are other contents of the same resource in the input.
	Also []Resource
}

// Properties returns a resource's own members. The az command line writes them at the level of the resource.
func (r Resource) Properties() template.Value {
	if p := r.Value.Get("properties"); p.There() {
		if p, err := p.Resolve(); err == nil {
			return p
		}
	}
	return r.Value
}

// Options are what the documents do not say.
type Options struct {
	// Parameters are the values of the templates' parameters, in place of their defaults.
	Parameters Parameters
	// APIVersion is the API version of answers, which do not contain it; "" if it is not known.
	APIVersion string
	// APIVersions are the API versions of a store's manifests by STORE or PUBLISHER/STORE, or
	// of one manifest by PUBLISHER/STORE/MANIFEST, in lower case. They override APIVersion.
	APIVersions map[string]string
}

// collector collects the resources of the documents of one import.
type collector struct {
	*finding.Report
	session *template.Session
	options Options

	found []Resource
	// byKey has the index in found of the resource with a key.
	byKey map[string]int
	// apis are the given API versions that a resource has used.
	apis  map[string]bool
	stray bool // the document being read was found in a directory
}

// Collect finds the resources of all documents, templates and answers alike. It
// returns each resource once, and the given API versions that a resource has used.
func Collect(documents []*Document, o Options, s *template.Session, r *finding.Report) (found []Resource, apis map[string]bool) {
	c := &collector{Report: r, session: s, options: o, byKey: map[string]int{}, apis: map[string]bool{}}
	c.readDocuments(documents)
	return c.found, c.apis
}

// addAnswer adds a resource of an answer.
func (c *collector) addAnswer(r Resource) {
	c.setAPI(&r)
	c.addResource(r)
}

// addResource adds a resource. If the input has the resource already, the two have the same content, are
// an answer and a template, or contradict each other. Which content is taken does not depend on the order.
func (c *collector) addResource(r Resource) {
	i, again := c.byKey[r.ID.Key()]
	if !again {
		c.byKey[r.ID.Key()] = len(c.found)
		c.found = append(c.found, r)
		return
	}
	first := &c.found[i]
	if id := first.ID; arm.Differ(id.Subscription, r.ID.Subscription) || arm.Differ(id.Group, r.ID.Group) {
		c.Unmapped(r.Value.Node, "it is another resource than that of the same name at %s, which was taken, of subscription %q, resource group %q; import it alone, with a namespace of its own (-n)", first.Value.Path(), arm.Clip(id.Subscription), arm.Clip(id.Group))
		return
	}
	a, errA := first.Value.Rendered()
	b, errB := r.Value.Rendered()
	if errA == nil && errB == nil && a == b && first.Template == r.Template {
		first.complete(r)
		r.Value.Close()
		c.Tell(finding.Note, r.Value.Node, "the same is at %s, too", first.Value.Path())
		return
	}
	taken, other, also := *first, r, first.Also
	if prefers(r, b, *first, a) {
		taken, other = r, *first
	}
	other.Also = nil
	taken.Also = append(also, other)
	taken.complete(other)
	*first = taken
}

// complete adds to a resource what another content of it says about its API version and its scope.
func (r *Resource) complete(other Resource) {
	r.API = cmp.Or(r.API, other.API)
	r.Named = arm.Fuller(cmp.Or(r.Named, r.ID.String()), cmp.Or(other.Named, other.ID.String()))
	r.ID.Subscription, r.ID.Group = cmp.Or(r.ID.Subscription, other.ID.Subscription), cmp.Or(r.ID.Group, other.ID.Group)
}

// prefers reports whether content a is taken rather than b: an answer, which
// describes an existing resource, before a template; else the longer text.
func prefers(a Resource, textA string, b Resource, textB string) bool {
	if a.Template != b.Template {
		return b.Template
	}
	return cmp.Or(cmp.Compare(len(textA), len(textB)), strings.Compare(textA, textB)) > 0
}

// setAPI sets the API version of an answer: the one given for it, else the one that it contains, else the one given for all.
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
