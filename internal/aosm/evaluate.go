package aosm

import (
	"errors"
	"fmt"
	"strconv"
)

// template is one deployment template: what the expressions in it can name.
type template struct {
	// declared, variables and functions are its sections; types are those that it defines for parameters;
	// given are the parameters' values, by folded name.
	declared, variables, functions, types, resources value

	given map[string]value
	known map[string]outcome
	busy  map[string]bool
	// modules are the deployments in it; nil until one is looked up.
	modules []*module
	// subscription and group are what it is deployed to, unknown where it cannot know.
	subscription, group string
}

type outcome struct {
	value value
	err   error
}

// newTemplate is the template that a node is, with its own parameters and variables.
func newTemplate(s *session, n *node, given map[string]value) *template {
	t := &template{given: given, known: map[string]outcome{}, busy: map[string]bool{}, subscription: ownSubscription, group: ownGroup}
	own := &scope{session: s, template: t}
	section := func(name string) value { return value{node: n.member(name), scope: own} }
	t.declared, t.variables, t.functions, t.types, t.resources = section("parameters"), section("variables"), section("functions"), section("definitions"), section("resources")
	t.declared.close()
	t.variables.close()
	t.functions.close()
	return t
}

// once evaluates a parameter or variable, and remembers what it is.
func (t *template) once(key string, what func() (value, error)) (value, error) {
	if t.busy[key] {
		return value{}, fmt.Errorf("the %s refers to itself", clip(key))
	}
	o, known := t.known[key]
	if !known {
		t.busy[key] = true
		o.value, o.err = what()
		delete(t.busy, key)
		t.known[key] = o
	}
	return o.value, o.err
}

func (t *template) parameter(name string) (value, error) {
	return t.once("parameter "+fold(name), func() (value, error) {
		declared := t.declared.get(name)
		if !declared.there() {
			return value{}, fmt.Errorf("the template declares no parameter %q", clip(name))
		}
		if given, ok := t.given[fold(name)]; ok && given.node != nil {
			return given.as(t.typeOf(declared))
		}
		if d := declared.get("defaultValue"); d.node != nil {
			return d.resolve()
		}
		if optional := declared.get("nullable"); optional.node != nil && optional.kind == boolean && optional.text == "true" {
			return declared.scope.make(declared.node, null, "")
		}
		return value{}, fmt.Errorf("the parameter %q has neither a value nor a default; give it one with --parameters", clip(name))
	})
}

// typeOf is the type of a parameter, directly or through a type that the template defines.
func (t *template) typeOf(declared value) value {
	for range 8 {
		name, ok := definitionName(declared.get("$ref").text1())
		if !ok {
			break
		}
		declared = value{node: t.types.member(name), scope: t.types.scope} // not opened: types mean nothing else here
	}
	return declared.get("type")
}

func (t *template) variable(name string) (value, error) {
	return t.once("variable "+fold(name), func() (value, error) {
		v := t.variables.get(name)
		if v.node == nil {
			return value{}, fmt.Errorf("the template has no variable %q", clip(name))
		}
		if v.kind == object && v.parent != nil && v.parent.kind == array {
			return value{}, fmt.Errorf("the variable %q is made by a loop that cannot be decided", clip(name))
		}
		return v.resolve()
	})
}

// eval evaluates a term in the place of a node.
func (s *scope) eval(t *term, at *node) (value, error) {
	if err := s.spend(1, 0); err != nil {
		return value{}, err
	}
	switch {
	case t.of != nil:
		return s.evalPart(t, at)
	case t.kind != object:
		return s.make(at, t.kind, t.text)
	}
	if form, ok := forms[t.text]; ok {
		return form(s, t, at)
	}
	f, evaluated := functions[t.text]
	own, declared := s.userFunction(t.text)
	switch {
	case declared:
	case atDeployment[t.text]:
		return value{}, fmt.Errorf("what %s() says is known at deployment only; import what `az ... show` prints after the deployment", t.text)
	case !evaluated:
		return value{}, fmt.Errorf("%s() is not among the functions that an import evaluates; import what `az ... show` prints after the deployment", clip(t.text))
	case len(t.args) < f.least || len(t.args) > f.most:
		return value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	args := make([]value, len(t.args))
	for i, a := range t.args {
		var err error
		if args[i], err = s.eval(a, at); err == nil {
			err = args[i].charge()
		}
		if err != nil {
			return value{}, err
		}
	}
	if declared {
		return s.callUser(t.text, own, args)
	}
	return f.call(s, at, args)
}

// evalPart evaluates a member or an item of a value.
func (s *scope) evalPart(t *term, at *node) (value, error) {
	of, err := s.eval(t.of, at)
	if err != nil {
		return value{}, err
	}
	name := t.text
	if len(t.args) == 1 {
		index, err := s.eval(t.args[0], at)
		if err != nil {
			return value{}, err
		}
		if index.node != nil && index.kind == number {
			return of.numbered(index.text)
		}
		names, err := knownWords([]value{index})
		if err = errors.Join(err, index.charge()); err != nil {
			return value{}, err
		}
		name = names[0]
	}
	part := of.get(name)
	if part.node == nil {
		return value{}, fmt.Errorf("there is no member %q, or it is known at deployment only", clip(name))
	}
	return part.resolve()
}

// charge counts the reading of a text.
func (v value) charge() error {
	if v.node == nil || v.kind != text {
		return nil
	}
	return v.scope.spend(len(v.text)/64, 0)
}

// numbered is an item of an array by its number.
func (v value) numbered(index string) (value, error) {
	i, err := strconv.Atoi(index)
	item := v.item(i)
	if err != nil || item.node == nil {
		return value{}, fmt.Errorf("there is no item %s", clip(index))
	}
	return item.resolve()
}

// truth is a boolean's value.
func (v value) truth() (bool, error) {
	if v.node == nil || v.kind != boolean {
		return false, errors.New("a condition is neither true nor false")
	}
	return v.text == "true", nil
}

// word is the text of a text, a number or a boolean.
func (v value) word() (string, error) {
	if v.node == nil || v.kind == null || v.kind == array || v.kind == object {
		return "", errors.New("a text is needed, and something else is there")
	}
	return v.text, nil
}
