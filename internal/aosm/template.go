package aosm

import "errors"

// readTemplate finds the resources of a template. Its expressions are evaluated in the value's scope;
// to says what it is deployed to.
func (c *collector) readTemplate(v value, to *template) {
	v.open()
	c.readChildren(v, resourceID{}, to)
}

// readChildren reads the resources of a template, or those in another resource: a list, or by symbolic name.
func (c *collector) readChildren(v value, parent resourceID, to *template) {
	resources, err := v.get("resources").resolve()
	switch {
	case err != nil:
		c.undecided(v.node, "its resources", err)
	case !resources.there():
	case resources.kind == object:
		for _, n := range resources.node.items {
			n.open()
			c.readTurns(resources.of(n), parent, to)
		}
	case resources.kind == array:
		for _, r := range resources.items() {
			c.readTurns(r, parent, to)
		}
	default:
		c.unmapped(resources.node, "resources is neither a list nor an object of resources")
	}
}

// readTurns reads a resource of a template as often as its loop says.
func (c *collector) readTurns(v value, parent resourceID, to *template) {
	turns := v.get("copy")
	if !turns.there() {
		c.readResource(v, parent, to)
		return
	}
	turns.close()
	count, err := turns.count()
	name, nameErr := turns.get("name").resolve()
	if err != nil || nameErr != nil {
		c.undecided(v.node, "how often its loop turns", err, nameErr)
		return
	}
	for i := range count {
		c.readResource(value{node: v.node, scope: v.scope.turn(loop{name: name.text1(), index: i, resource: true})}, parent, to)
	}
}

func (c *collector) readResource(v value, parent resourceID, to *template) {
	if err := v.scope.spend(1, 0); c.session.fail(err) {
		return
	}
	if v.kind != object {
		c.unmapped(v.node, "it is not a resource, which is an object")
		return
	}
	if existing, err := v.get("existing").resolve(); err == nil && existing.there() && existing.text == "true" {
		v.close() // named only; anyone who uses it names it by its id
		c.tell(Note, v.node, "the template names it as existing, and does not make it")
		return
	}
	if !c.deployed(v) {
		return
	}
	typ, err := v.needed("type")
	if err != nil {
		c.undecided(v.node, "its type", err)
		return
	}
	if fold(typ) == typeDeployment {
		c.readNested(v, to)
		return
	}
	name, err := v.needed("name")
	if err != nil {
		c.undecided(v.node, "its name", err)
		return
	}
	id, err := identify(parent, typ, name)
	if err != nil {
		c.unmapped(v.node, "%v", err)
		return
	}
	if len(parent.names) == 0 {
		id.subscription, id.group = to.subscription, to.group
		id = id.relative()
	}
	r := resource{id: id, value: v, template: true}
	if api, err := v.needed("apiVersion"); err == nil {
		r.api = api
	}
	c.addResource(r)
	c.readChildren(v, id, to)
}

// deployed reports whether a resource's condition holds.
func (c *collector) deployed(v value) bool {
	condition := v.get("condition")
	if !condition.there() {
		return true
	}
	condition, err := condition.resolve()
	var yes bool
	if err == nil {
		yes, err = condition.truth()
	}
	if err != nil {
		c.undecided(v.node, "whether it is deployed", err)
		return false
	}
	if !yes {
		v.close()
		c.tell(Note, v.node, "its condition is false, so that it is not deployed")
	}
	return yes
}

// readNested reads the template that a deployment within a template deploys.
func (c *collector) readNested(v value, to *template) {
	m, err := newModule(v, to)
	switch {
	case errors.Is(err, errNotInInput):
		c.unmapped(v.node, "%v", err)
		return
	case err != nil:
		c.undecided(v.node, "the deployment", err)
		return
	}
	c.readTemplate(value{node: m.body, scope: m.scope}, m.to)
}
