package aosm

import "fmt"

// readTemplate finds the resources of a template. Its expressions are evaluated in the value's scope;
// to says what it is deployed to.
func (im *importer) readTemplate(v value, to *template) {
	v.open()
	if f := v.get("functions"); f.there() {
		f.close() // calls of them are told where they matter
	}
	resources := v.get("resources")
	if resources.there() && resources.kind == object { // by symbolic name
		for _, n := range resources.node.items {
			n.open()
			im.readTurns(value{node: n, scope: v.scope}, resourceID{}, to)
		}
		return
	}
	for _, r := range resources.items() {
		im.readTurns(r, resourceID{}, to)
	}
}

// readTurns reads a resource of a template as often as its loop says.
func (im *importer) readTurns(v value, parent resourceID, to *template) {
	loop := v.get("copy")
	if !loop.there() {
		im.readResource(v, parent, to)
		return
	}
	loop.close()
	count, err := loop.count()
	name, nameErr := loop.get("name").resolve()
	if err != nil || nameErr != nil {
		im.undecided(v.node, "how often its loop turns", err, nameErr)
		return
	}
	for i := range count {
		im.readResource(value{node: v.node, scope: v.scope.turn(name.text1(), i)}, parent, to)
	}
}

func (im *importer) readResource(v value, parent resourceID, to *template) {
	if err := v.scope.spend(1, 0); im.session.fail(err) {
		return
	}
	if v.kind != object {
		im.unmapped(v.node, "it is no resource, which is an object")
		return
	}
	if existing, err := v.get("existing").resolve(); err == nil && existing.there() && existing.text == "true" {
		v.close() // named only; whoever uses it names it by its id
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
	r := resource{id: id, value: v}
	if api, err := im.word(v, "apiVersion"); err == nil {
		r.api = api
	}
	im.add(r)
	for _, child := range v.get("resources").items() {
		im.readTurns(child, id, to)
	}
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
	p, err := v.get("properties").resolve()
	if err != nil {
		im.undecided(v.node, "what it deploys", err)
		return
	}
	inner := p.get("template")
	if !inner.there() || inner.kind != object {
		im.unmapped(v.node, "the template that it deploys is not in the input; import it, too")
		return
	}
	for _, known := range []string{"type", "apiVersion", "name"} {
		v.get(known)
	}
	p.get("mode").close()
	options := p.get("expressionEvaluationOptions")
	options.close()
	t := newTemplate(im.session, inner.node, givenIn(p.get("parameters")))
	t.subscription, t.group = to.subscription, to.group
	for name, into := range map[string]*string{"subscriptionId": &t.subscription, "resourceGroup": &t.group} {
		if !v.get(name).there() {
			continue
		}
		if *into, err = im.word(v, name); err != nil {
			im.undecided(v.node, "where it deploys to", err)
			return
		}
	}
	if fold(options.get("scope").text1()) != "inner" { // ARM's default: its expressions are the outer template's
		im.readTemplate(value{node: inner.node, scope: v.scope}, t)
		return
	}
	im.readTemplate(value{node: inner.node, scope: &scope{session: im.session, template: t}}, t)
}

// givenIn are the values that a nested deployment gives its template's parameters.
func givenIn(parameters value) map[string]value {
	given := map[string]value{}
	parameters.close()
	if parameters.node == nil {
		return given
	}
	for _, m := range parameters.node.items {
		if v := (value{node: m, scope: parameters.scope}).get("value"); v.node != nil { // a reference is to a secret elsewhere
			given[fold(m.key)] = v
		}
	}
	return given
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
