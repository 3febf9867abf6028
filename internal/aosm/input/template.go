package input

import (
	"errors"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// readTemplate finds the resources of a template. Their expressions are evaluated in
// the value's scope; to has the subscription and resource group of the deployment.
func (c *collector) readTemplate(v template.Value, to *template.Template) {
	v.Open()
	c.readChildren(v, arm.ID{}, to)
}

// readChildren reads the resources of a template or of another resource, in a list or by symbolic name.
func (c *collector) readChildren(v template.Value, parent arm.ID, to *template.Template) {
	resources, err := v.Get("resources").Resolve()
	switch {
	case err != nil:
		c.Undecided(v.Node, "its resources", err)
	case !resources.There():
	case resources.Kind == document.Object:
		for _, n := range resources.Node.Items {
			n.Open()
			c.readTurns(resources.Of(n), parent, to)
		}
	case resources.Kind == document.Array:
		for _, r := range resources.Items() {
			c.readTurns(r, parent, to)
		}
	default:
		c.Unmapped(resources.Node, "resources is neither a list nor an object of resources")
	}
}

// readTurns reads a resource of a template once for each iteration of its loop.
func (c *collector) readTurns(v template.Value, parent arm.ID, to *template.Template) {
	turns := v.Get("copy")
	if !turns.There() {
		c.readResource(v, parent, to)
		return
	}
	turns.Close()
	count, err := turns.Count()
	name, nameErr := turns.Get("name").Resolve()
	if err != nil || nameErr != nil {
		c.Undecided(v.Node, "how often its loop turns", err, nameErr)
		return
	}
	for i := range count {
		c.readResource(template.Value{Node: v.Node, Scope: v.Scope.Turn(template.Loop{Name: name.AsText(), Index: i, Resource: true})}, parent, to)
	}
}

func (c *collector) readResource(v template.Value, parent arm.ID, to *template.Template) {
	if err := v.Scope.Spend(1, 0); c.session.Fail(err) {
		return
	}
	if v.Kind != document.Object {
		c.Unmapped(v.Node, "it is not a resource, which is an object")
		return
	}
	if existing, err := v.Get("existing").Resolve(); err == nil && existing.There() && existing.Text == "true" {
		v.Close() // it is only declared; references to it have its id
		c.Tell(finding.Note, v.Node, "the template names it as existing, and does not make it")
		return
	}
	if !c.deployed(v) {
		return
	}
	typ, err := v.Needed("type")
	if err != nil {
		c.Undecided(v.Node, "its type", err)
		return
	}
	if arm.Fold(typ) == arm.TypeDeployment {
		c.readNested(v, to)
		return
	}
	name, err := v.Needed("name")
	if err != nil {
		c.Undecided(v.Node, "its name", err)
		return
	}
	id, err := arm.Identify(parent, typ, name)
	if err != nil {
		c.Unmapped(v.Node, "%v", err)
		return
	}
	if len(parent.Names) == 0 {
		id.Subscription, id.Group = to.Subscription, to.Group
		id = id.Relative()
	}
	r := Resource{ID: id, Value: v, Template: true}
	if api, err := v.Needed("apiVersion"); err == nil {
		r.API = api
	}
	c.addResource(r)
	c.readChildren(v, id, to)
}

// deployed reports whether a resource's condition is true or absent.
func (c *collector) deployed(v template.Value) bool {
	condition := v.Get("condition")
	if !condition.There() {
		return true
	}
	condition, err := condition.Resolve()
	var yes bool
	if err == nil {
		yes, err = condition.Truth()
	}
	if err != nil {
		c.Undecided(v.Node, "whether it is deployed", err)
		return false
	}
	if !yes {
		v.Close()
		c.Tell(finding.Note, v.Node, "its condition is false, so that it is not deployed")
	}
	return yes
}

// readNested reads the template of a nested deployment.
func (c *collector) readNested(v template.Value, to *template.Template) {
	m, err := template.NewModule(v, to)
	switch {
	case errors.Is(err, template.ErrNotInInput):
		c.Unmapped(v.Node, "%v", err)
		return
	case err != nil:
		c.Undecided(v.Node, "the deployment", err)
		return
	}
	c.readTemplate(template.Value{Node: m.Body, Scope: m.Scope}, m.To)
}
