package aosm

import (
	"fmt"
	"strings"
)

func (c *collector) readDocuments(documents []*document) {
	declared := map[string]bool{}
	for _, d := range documents {
		if !d.template {
			c.stray = d.stray
			c.readAnswer(value{node: d.node, scope: &scope{session: c.session}})
			continue
		}
		if parameters := d.member("parameters"); parameters != nil {
			for _, p := range parameters.items {
				declared[fold(p.key)] = true
			}
		}
		given := c.options.Parameters.over(d.given)
		t := newTemplate(c.session, d.node, given.values(c.session))
		own := &scope{session: c.session, template: t}
		c.readTemplate(value{node: d.node, scope: own}, t)
	}
	c.tellUndeclared(declared)
}

func isTemplate(d *node) bool {
	if schema := d.member("$schema"); schema != nil && strings.Contains(fold(schema.text), "deploymenttemplate.json") {
		return true
	}
	return d.member("resources") != nil && d.member("id") == nil && d.member("type") == nil
}

// readAnswer reads what the az command line or the REST API says: a resource, several, or a page of them.
func (c *collector) readAnswer(v value) {
	v.open()
	if v.kind == array {
		for _, item := range v.items() {
			c.readOne(item)
		}
		return
	}
	for _, name := range []string{"value", "data"} { // of the REST API, and of az graph query
		list := v.get(name)
		if !list.there() || list.kind != array || v.get("id").there() {
			continue
		}
		for _, item := range list.items() {
			c.readOne(item)
		}
		c.tellMore(v)
		return
	}
	c.readOne(v)
}

// tellMore tells that an answer is one page of several.
func (c *collector) tellMore(v value) {
	for _, name := range []string{"nextLink", "skip_token", "$skipToken"} {
		if next := v.get(name); next.there() && next.text != "" {
			c.unmapped(next.node, "this is one page, and there are more: fetch all of them, and import them together")
		}
	}
	for _, name := range []string{"count", "total_records", "totalRecords", "resultTruncated"} {
		v.get(name).close()
	}
}

// readOne reads one resource of an answer.
func (c *collector) readOne(v value) {
	switch {
	case v.node == nil || v.kind != object:
		c.unmapped(v.node, "it is not a resource, which is an object")
	case v.get("error").there():
		c.unmapped(v.node, "it is an answer that reports an error, not a resource")
	case strings.Contains(fold(v.get("$schema").text1()), "deploymentparameters.json"):
		c.unmapped(v.node, "it is a parameter file; give it with --parameters @FILE, or import it together with its template")
	case v.get("id").there():
		c.readIdentified(v)
	default:
		c.readNamed(v)
	}
}

func (c *collector) readIdentified(v value) {
	raw := v.get("id")
	if raw.kind != text {
		c.unmapped(v.node, "its id is not text")
		return
	}
	id, err := parseID(raw.text1())
	if err != nil {
		c.unmapped(v.node, "%v", err)
		return
	}
	if name := v.get("name").text1(); name != "" && fold(name) != fold(id.name()) {
		c.tell(Note, v.get("name").node, "the name differs from that in the id, %q; the id is used", clip(id.name()))
	}
	c.addAnswer(resource{id: id, named: raw.text, value: v})
}

// readNamed reads a resource without an id. A type and a name are enough where there is nothing above it.
func (c *collector) readNamed(v value) {
	typ, name := v.get("type").text1(), v.get("name").text1()
	id, err := identify(resourceID{}, typ, name)
	switch {
	case (typ == "" || name == "" || err != nil) && c.stray && v.parent == nil:
		v.close()
		c.tell(Note, v.node, "the file has nothing of AOSM, and is passed over")
	case typ == "" || name == "":
		c.unmapped(v.node, "nothing says what it is: there is neither an id nor a type and a name; import what `az ... show --output json` prints without --query, or a template")
	case err != nil:
		c.unmapped(v.node, "without an id, its type and name have to say what it is in: %v", err)
	default:
		c.addAnswer(resource{id: id, value: v})
	}
}

// tellUndeclared reports values for parameters that no template declares. A file of values can be for other
// templates, too; who types a name means it.
func (c *collector) tellUndeclared(declared map[string]bool) {
	for _, name := range c.options.Parameters.names() {
		if declared[name] {
			continue
		}
		g := c.options.Parameters.given[name]
		f := Finding{Level: NotMapped, Path: "--parameters", Reason: fmt.Sprintf("no template of the input declares a parameter %q", clip(g.name))}
		if g.shared {
			f.Level, f.Name = Ignored, g.name
		}
		c.report.add(f)
	}
}
