package aosm

import (
	"errors"
	"fmt"
)

// readTemplate finds the resources of a template. Its expressions are evaluated in the value's scope;
// to says what it is deployed to.
func (im *importer) readTemplate(v value, to *template) {
	v.open()
	im.readChildren(v, resourceID{}, to)
}

// readChildren reads the resources of a template, or those in another resource: a list, or by symbolic name.
func (im *importer) readChildren(v value, parent resourceID, to *template) {
	resources, err := v.get("resources").resolve()
	switch {
	case err != nil:
		im.undecided(v.node, "its resources", err)
	case !resources.there():
	case resources.kind == object:
		for _, n := range resources.node.items {
			n.open()
			im.readTurns(resources.of(n), parent, to)
		}
	case resources.kind == array:
		for _, r := range resources.items() {
			im.readTurns(r, parent, to)
		}
	default:
		im.unmapped(resources.node, "resources is neither a list nor an object of resources")
	}
}

// readTurns reads a resource of a template as often as its loop says.
func (im *importer) readTurns(v value, parent resourceID, to *template) {
	turns := v.get("copy")
	if !turns.there() {
		im.readResource(v, parent, to)
		return
	}
	turns.close()
	count, err := turns.count()
	name, nameErr := turns.get("name").resolve()
	if err != nil || nameErr != nil {
		im.undecided(v.node, "how often its loop turns", err, nameErr)
		return
	}
	for i := range count {
		im.readResource(value{node: v.node, scope: v.scope.turn(loop{name: name.text1(), index: i, resource: true})}, parent, to)
	}
}

func (im *importer) readResource(v value, parent resourceID, to *template) {
	if err := v.scope.spend(1, 0); im.session.fail(err) {
		return
	}
	if v.kind != object {
		im.unmapped(v.node, "it is not a resource, which is an object")
		return
	}
	if existing, err := v.get("existing").resolve(); err == nil && existing.there() && existing.text == "true" {
		v.close() // named only; anyone who uses it names it by its id
		im.tell(Note, v.node, "the template names it as existing, and does not make it")
		return
	}
	if !im.deployed(v) {
		return
	}
	typ, err := im.word(v, "type")
	if err != nil {
		im.undecided(v.node, "its type", err)
		return
	}
	if fold(typ) == typeDeployment {
		im.readNested(v, to)
		return
	}
	name, err := im.word(v, "name")
	if err != nil {
		im.undecided(v.node, "its name", err)
		return
	}
	id, err := identify(parent, typ, name)
	if err != nil {
		im.unmapped(v.node, "%v", err)
		return
	}
	if len(parent.names) == 0 {
		id.subscription, id.group = to.subscription, to.group
		id = id.relative()
	}
	r := resource{id: id, value: v, template: true}
	if api, err := im.word(v, "apiVersion"); err == nil {
		r.api = api
	}
	im.add(r)
	im.readChildren(v, id, to)
}

// deployed reports whether a resource's condition holds.
func (im *importer) deployed(v value) bool {
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
		im.undecided(v.node, "whether it is deployed", err)
		return false
	}
	if !yes {
		v.close()
		im.tell(Note, v.node, "its condition is false, so that it is not deployed")
	}
	return yes
}

// readNested reads the template that a deployment within a template deploys.
func (im *importer) readNested(v value, to *template) {
	m, err := newModule(v, to)
	switch {
	case errors.Is(err, errNotInInput):
		im.unmapped(v.node, "%v", err)
		return
	case err != nil:
		im.undecided(v.node, "the deployment", err)
		return
	}
	im.readTemplate(value{node: m.body, scope: m.scope}, m.to)
}

// word is a member that has to be a text, evaluated.
func (im *importer) word(v value, name string) (string, error) {
	m, err := v.get(name).resolve()
	if err != nil {
		return "", err
	}
	if !m.there() {
		return "", fmt.Errorf("there is no %s", name)
	}
	word, err := m.word()
	if err == nil {
		err = v.scope.spend(1+len(word)/64, 0)
	}
	return word, err
}

// doubt tells that a node is left out since what it is cannot be known, rather than because it is known
// to have no counterpart.
func (im *importer) doubt(at *node, format string, args ...any) {
	im.doubts++
	im.unmapped(at, format, args...)
}

// undecided tells that something cannot be known from the input, and closes what depends on it.
func (im *importer) undecided(at *node, what string, errs ...error) {
	for _, err := range errs {
		if err != nil && !im.session.fail(err) {
			im.doubt(at, "%s cannot be decided: %v", what, err)
		}
	}
}
