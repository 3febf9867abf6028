package aosm

import (
	"fmt"
	"strings"
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

// parameter is the value of a parameter: the one that is given, or else its default.
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

// variable is the value of a variable.
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

// definitionName is the name of a type that a template defines, in a reference to it.
func definitionName(ref string) (string, bool) { return strings.CutPrefix(ref, "#/definitions/") }

// userFunction is a function that the template itself declares, by its folded name with its namespace.
func (s *scope) userFunction(name string) (value, bool) {
	namespace, member, ok := strings.Cut(name, ".")
	if !ok {
		return value{}, false
	}
	for _, f := range s.template.functions.items() {
		if fold(f.get("namespace").text1()) != namespace {
			continue
		}
		if own := f.get("members").get(member); own.node != nil && own.kind == object {
			return own, true
		}
	}
	return value{}, false
}

// callUser evaluates what a function that the template declares returns. It sees its own parameters, and
// the other functions.
func (s *scope) callUser(name string, own value, args []value) (value, error) {
	parameters := own.get("parameters").items()
	if len(parameters) != len(args) {
		return value{}, fmt.Errorf("%s() has %d arguments", clip(name), len(args))
	}
	declared := &node{kind: object, parent: own.node, key: "parameters", state: closed}
	t := &template{
		given: map[string]value{}, known: map[string]outcome{}, busy: map[string]bool{}, functions: s.template.functions,
		types: s.template.types, subscription: s.template.subscription, group: s.template.group,
	}
	inner := &scope{session: s.session, template: t}
	for i, p := range parameters {
		word := p.get("name").text1()
		if word == "" {
			return value{}, fmt.Errorf("a parameter of %s() has no name", clip(name))
		}
		declared.items = append(declared.items, s.place(p, declared, word, 0))
		t.given[fold(word)] = args[i]
	}
	t.declared = value{node: declared, scope: inner}
	out := own.get("output").get("value")
	if out.node == nil {
		return value{}, fmt.Errorf("%s() has no output", clip(name))
	}
	return value{node: out.node, scope: inner}.resolve()
}

// newText is a text that was given for a parameter.
func newText(s string) *node { return &node{kind: text, text: s, key: "--parameters"} }
