package input

import (
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

func (c *collector) readDocuments(documents []*Document) {
	declared := map[string]bool{}
	for _, d := range documents {
		if !d.template {
			c.stray = d.stray
			c.readAnswer(template.Value{Node: d.Node, Scope: &template.Scope{Session: c.session}})
			continue
		}
		if parameters := d.Member("parameters"); parameters != nil {
			for _, p := range parameters.Items {
				declared[arm.Fold(p.Key)] = true
			}
		}
		given := c.options.Parameters.over(d.given)
		t := template.NewTemplate(c.session, d.Node, given.values(c.session))
		own := &template.Scope{Session: c.session, Template: t}
		c.readTemplate(template.Value{Node: d.Node, Scope: own}, t)
	}
	c.tellUndeclared(declared)
}

func isTemplate(d *document.Node) bool {
	if schema := d.Member("$schema"); schema != nil && strings.Contains(arm.Fold(schema.Text), "deploymenttemplate.json") {
		return true
	}
	return d.Member("resources") != nil && d.Member("id") == nil && d.Member("type") == nil
}

// readAnswer reads the output of az or the REST API: one resource, a list, or a page of a list.
func (c *collector) readAnswer(v template.Value) {
	v.Open()
	if v.Kind == document.Array {
		for _, item := range v.Items() {
			c.readOne(item)
		}
		return
	}
	for _, name := range []string{"value", "data"} { // of the REST API, and of az graph query
		list := v.Get(name)
		if !list.There() || list.Kind != document.Array || v.Get("id").There() {
			continue
		}
		for _, item := range list.Items() {
			c.readOne(item)
		}
		c.tellMore(v)
		return
	}
	c.readOne(v)
}

// tellMore reports that an answer is one page of several.
func (c *collector) tellMore(v template.Value) {
	for _, name := range []string{"nextLink", "skip_token", "$skipToken"} {
		if next := v.Get(name); next.There() && next.Text != "" {
			c.Unmapped(next.Node, "this is one page, and there are more: fetch all of them, and import them together")
		}
	}
	for _, name := range []string{"count", "total_records", "totalRecords", "resultTruncated"} {
		v.Get(name).Close()
	}
}

// readOne reads one resource of an answer.
func (c *collector) readOne(v template.Value) {
	switch {
	case v.Node == nil || v.Kind != document.Object:
		c.Unmapped(v.Node, "it is not a resource, which is an object")
	case v.Get("error").There():
		c.Unmapped(v.Node, "it is an answer that reports an error, not a resource")
	case strings.Contains(arm.Fold(v.Get("$schema").AsText()), "deploymentparameters.json"):
		c.Unmapped(v.Node, "it is a parameter file; give it with --parameters @FILE, or import it together with its template")
	case v.Get("id").There():
		c.readIdentified(v)
	default:
		c.readNamed(v)
	}
}

func (c *collector) readIdentified(v template.Value) {
	raw := v.Get("id")
	if raw.Kind != document.Text {
		c.Unmapped(v.Node, "its id is not text")
		return
	}
	id, err := arm.ParseID(raw.AsText())
	if err != nil {
		c.Unmapped(v.Node, "%v", err)
		return
	}
	if name := v.Get("name").AsText(); name != "" && arm.Fold(name) != arm.Fold(id.Name()) {
		c.Tell(finding.Note, v.Get("name").Node, "the name differs from that in the id, %q; the id is used", arm.Clip(id.Name()))
	}
	c.addAnswer(Resource{ID: id, Named: raw.Text, Value: v})
}

// readNamed reads a resource without an id. A type and a name are enough for a resource without a parent.
func (c *collector) readNamed(v template.Value) {
	typ, name := v.Get("type").AsText(), v.Get("name").AsText()
	id, err := arm.Identify(arm.ID{}, typ, name)
	switch {
	case (typ == "" || name == "" || err != nil) && c.stray && v.Parent == nil:
		v.Close()
		c.Tell(finding.Note, v.Node, "the file has nothing of AOSM, and is passed over")
	case typ == "" || name == "":
		c.Unmapped(v.Node, "nothing says what it is: there is neither an id nor a type and a name; import what `az ... show --output json` prints without --query, or a template")
	case err != nil:
		c.Unmapped(v.Node, "without an id, its type and name have to say what it is in: %v", err)
	default:
		c.addAnswer(Resource{ID: id, Value: v})
	}
}

// tellUndeclared reports values for parameters that no template declares: as Ignored for a value
// from a file, which can be for other templates, and as NotMapped for a name on the command line.
func (c *collector) tellUndeclared(declared map[string]bool) {
	for _, name := range c.options.Parameters.names() {
		if declared[name] {
			continue
		}
		g := c.options.Parameters.given[name]
		f := finding.Finding{Level: finding.NotMapped, Path: "--parameters", Reason: fmt.Sprintf("no template of the input declares a parameter %q", arm.Clip(g.name))}
		if g.shared {
			f.Level, f.Name = finding.Ignored, g.name
		}
		c.Add(f)
	}
}
