package aosm

import (
	"errors"
	"fmt"
)

// module is a deployment within a template: the template that it deploys, and in which scope its expressions
// are evaluated.
type module struct {
	name, symbol string
	// symbolic is true where the template's resources have symbolic names.
	symbolic bool
	body     *node
	scope    *scope
	// to is where it deploys to.
	to *template
}

// errNotInInput is the reason for a deployment whose template is elsewhere.
var errNotInInput = errors.New("the template that it deploys is not in the input; import it, too")

// called is what reference() takes: the symbolic name where the template has such, and else the name.
func (m *module) called() string {
	if m.symbolic {
		return m.symbol
	}
	return m.name
}

// newModule reads a deployment that is deployed to what a template is deployed to, unless it says otherwise.
func newModule(v value, to *template) (*module, error) {
	p, err := v.get("properties").resolve()
	if err != nil {
		return nil, fmt.Errorf("what it deploys: %w", err)
	}
	inner := p.get("template")
	if !inner.there() || inner.kind != object {
		return nil, errNotInInput
	}
	for _, known := range []string{"type", "apiVersion", "name"} {
		v.get(known)
	}
	p.get("mode").close()
	options := p.get("expressionEvaluationOptions")
	options.close()
	t := newTemplate(v.scope.session, inner.node, givenIn(p.get("parameters")))
	t.subscription, t.group = to.subscription, to.group
	for name, into := range map[string]*string{"subscriptionId": &t.subscription, "resourceGroup": &t.group} {
		m := v.get(name)
		if !m.there() {
			continue
		}
		if m, err = m.resolve(); err == nil {
			*into, err = m.word()
		}
		if err != nil {
			return nil, fmt.Errorf("where it deploys to: %w", err)
		}
	}
	d := &module{body: inner.node, to: t, scope: v.scope}
	if fold(options.get("scope").text1()) == "inner" { // ARM's default: its expressions are the outer template's
		d.scope = &scope{session: v.scope.session, template: t}
	}
	return d, nil
}

// givenIn are the values that a nested deployment gives its template's parameters.
func givenIn(parameters value) map[string]value {
	given := map[string]value{}
	parameters.close()
	if parameters.node == nil {
		return given
	}
	for _, m := range parameters.node.items {
		given[fold(m.key)] = parameters.of(m).get("value")
		if m.member("value") == nil && m.member("reference") != nil {
			given[fold(m.key)] = value{node: newText(vaultSecret), scope: parameters.scope}
		}
	}
	return given
}

// findModule finds a deployment in the template by its id, or by what it is called.
func (s *scope) findModule(word string) (*module, error) {
	elsewhere := errors.New("what reference() says is known at deployment only; import what `az ... show` prints after the deployment")
	id, _, notID := splitID(word) // its name can contain what only the deployment knows, the same in both places
	if notID == nil && id.typ() != typeDeployment {
		return nil, elsewhere
	}
	all, err := s.modulesOf()
	if err != nil {
		return nil, err
	}
	name := fold(word)
	if notID == nil {
		name = fold(id.name())
	}
	if err := s.spend(1+len(all)/8, 0); err != nil {
		return nil, err
	}
	var found *module
	for _, m := range all {
		if (notID != nil && m.called() != name) || (notID == nil && (m.name != name || differ(m.to.subscription, id.subscription) || differ(m.to.group, id.group))) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the template has several deployments %q", clip(word))
		}
		found = m
	}
	if found == nil {
		return nil, elsewhere
	}
	return found, nil
}

// modulesOf reads the deployments of the template, once.
func (s *scope) modulesOf() ([]*module, error) {
	t := s.template
	if t.modules != nil {
		return t.modules, nil
	}
	if t.busy["modules"] {
		return nil, errors.New("the name of a deployment refers to deployments")
	}
	t.busy["modules"] = true
	defer delete(t.busy, "modules")
	all := []*module{}
	err := t.eachResource(func(symbol string, v value) error {
		if typ, err := v.get("type").resolve(); err != nil || fold(typ.text1()) != typeDeployment {
			return nil // it is reported where it is read
		}
		name, err := v.get("name").resolve()
		if err != nil {
			return nil
		}
		m, err := newModule(v, t)
		if err != nil {
			return nil
		}
		m.name, m.symbol, m.symbolic = fold(name.text1()), fold(symbol), t.resources.kind == object
		all = append(all, m)
		return v.scope.spend(10, 1000)
	})
	t.modules = all
	return all, err
}

// eachResource calls a function for each resource of a template, as often as its loop turns, with its
// symbolic name.
func (t *template) eachResource(do func(symbol string, v value) error) error {
	if t.resources.node == nil {
		return nil
	}
	for _, n := range t.resources.node.items {
		if err := t.resources.scope.spend(1, 0); err != nil {
			return err
		}
		if err := eachTurn(n.key, t.resources.of(n), do); err != nil {
			return err
		}
	}
	return nil
}

// eachTurn calls a function for each turn of a resource.
func eachTurn(symbol string, v value, do func(symbol string, v value) error) error {
	turns := v.get("copy")
	if !turns.there() {
		return do(symbol, v)
	}
	count, err := turns.count()
	name, nameErr := turns.get("name").resolve()
	if err != nil || nameErr != nil {
		return nil // it is reported where it is read
	}
	for i := range count {
		if err := do(fmt.Sprintf("%s[%d]", symbol, i), value{node: v.node, scope: v.scope.turn(loop{name: name.text1(), index: i, resource: true})}); err != nil {
			return err
		}
	}
	return nil
}

// outputs is an object of the outputs of a deployment, each with its value.
func (m *module) outputs(s *scope, at *node) (value, error) {
	members, err := value{node: m.body.member("outputs"), scope: m.scope}.members()
	if err != nil {
		return value{}, err
	}
	var all []field
	for _, o := range members {
		v := o.value.get("value")
		if c := o.value.get("copy"); v.node == nil && c.there() {
			v = c.loop("")
		}
		made, err := s.makeObject(at, []field{{"value", v}})
		if err != nil {
			return value{}, err
		}
		all = append(all, field{o.key, made})
	}
	return s.makeObject(at, all)
}

// identified is the type, the name and the id of a resource of the template.
func (s *scope) identified(v value) (typ, name string, id resourceID, err error) {
	t, errType := v.get("type").resolve()
	n, errName := v.get("name").resolve()
	if err := errors.Join(errType, errName); err != nil {
		return "", "", id, err
	}
	id, err = identify(resourceID{}, t.text1(), n.text1())
	id.subscription, id.group = s.template.subscription, s.template.group
	return t.text1(), n.text1(), id, err
}
