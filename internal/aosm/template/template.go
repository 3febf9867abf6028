package template

import (
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// Template is one deployment template, with the names that its expressions can use.
type Template struct {
	// declared (the parameters), variables, functions, types (the definitions) and resources
	// are the template's sections. given are the parameters' values by folded name.
	declared, variables, functions, types, resources Value

	given map[string]Value
	known map[string]outcome
	busy  map[string]bool
	// modules are the deployments in the template; nil until one is looked up.
	modules []*Module
	// Subscription and Group are where the template is deployed, or the characters for its own unknown scope.
	Subscription, Group string
}

type outcome struct {
	value Value
	err   error
}

// NewTemplate returns the template of a node, with values for its parameters.
func NewTemplate(s *Session, n *document.Node, given map[string]Value) *Template {
	t := &Template{given: given, known: map[string]outcome{}, busy: map[string]bool{}, Subscription: arm.OwnSubscription, Group: arm.OwnGroup}
	own := &Scope{Session: s, Template: t}
	section := func(name string) Value { return Value{Node: n.Member(name), Scope: own} }
	t.declared, t.variables, t.functions, t.types, t.resources = section("parameters"), section("variables"), section("functions"), section("definitions"), section("resources")
	t.declared.Close()
	t.variables.Close()
	t.functions.Close()
	return t
}

// once evaluates a parameter or variable once, and keeps the result.
func (t *Template) once(key string, what func() (Value, error)) (Value, error) {
	if t.busy[key] {
		return Value{}, fmt.Errorf("the %s refers to itself", arm.Clip(key))
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

// Parameter returns the value of a parameter: the given one, or else its default.
func (t *Template) Parameter(name string) (Value, error) {
	return t.once("parameter "+arm.Fold(name), func() (Value, error) {
		declared := t.declared.Get(name)
		if !declared.There() {
			return Value{}, fmt.Errorf("the template declares no parameter %q", arm.Clip(name))
		}
		if given, ok := t.given[arm.Fold(name)]; ok && given.Node != nil {
			return given.as(t.typeOf(declared))
		}
		if d := declared.Get("defaultValue"); d.Node != nil {
			return d.Resolve()
		}
		if optional := declared.Get("nullable"); optional.Node != nil && optional.Kind == document.Boolean && optional.Text == "true" {
			return declared.Scope.Make(declared.Node, document.Null, "")
		}
		return Value{}, fmt.Errorf("the parameter %q has neither a value nor a default; give it one with --parameters", arm.Clip(name))
	})
}

// typeOf returns the type of a parameter, directly or through a type that the template defines.
func (t *Template) typeOf(declared Value) Value {
	for range 8 {
		name, ok := definitionName(declared.Get("$ref").AsText())
		if !ok {
			break
		}
		declared = Value{Node: t.types.Member(name), Scope: t.types.Scope} // not opened: definitions have no other use
	}
	return declared.Get("type")
}

// Variable returns the value of a variable.
func (t *Template) Variable(name string) (Value, error) {
	return t.once("variable "+arm.Fold(name), func() (Value, error) {
		v := t.variables.Get(name)
		if v.Node == nil {
			return Value{}, fmt.Errorf("the template has no variable %q", arm.Clip(name))
		}
		if v.Kind == document.Object && v.Parent != nil && v.Parent.Kind == document.Array {
			return Value{}, fmt.Errorf("the variable %q is made by a loop that cannot be decided", arm.Clip(name))
		}
		return v.Resolve()
	})
}

// definitionName returns the name in a reference to a type that the template defines.
func definitionName(ref string) (string, bool) { return strings.CutPrefix(ref, "#/definitions/") }

// UserFunction returns a function that the template declares, by its folded name with its namespace.
func (s *Scope) UserFunction(name string) (Value, bool) {
	namespace, member, ok := strings.Cut(name, ".")
	if !ok {
		return Value{}, false
	}
	for _, f := range s.Template.functions.Items() {
		if arm.Fold(f.Get("namespace").AsText()) != namespace {
			continue
		}
		if own := f.Get("members").Get(member); own.Node != nil && own.Kind == document.Object {
			return own, true
		}
	}
	return Value{}, false
}

// CallUser returns the output of a function that the template declares.
// The function can use only its own parameters, and the other functions.
func (s *Scope) CallUser(name string, own Value, args []Value) (Value, error) {
	parameters := own.Get("parameters").Items()
	if len(parameters) != len(args) {
		return Value{}, fmt.Errorf("%s() has %d arguments", arm.Clip(name), len(args))
	}
	declared := &document.Node{Kind: document.Object, Parent: own.Node, Key: "parameters", State: document.Closed}
	t := &Template{
		given: map[string]Value{}, known: map[string]outcome{}, busy: map[string]bool{}, functions: s.Template.functions,
		types: s.Template.types, Subscription: s.Template.Subscription, Group: s.Template.Group,
	}
	inner := &Scope{Session: s.Session, Template: t}
	for i, p := range parameters {
		word := p.Get("name").AsText()
		if word == "" {
			return Value{}, fmt.Errorf("a parameter of %s() has no name", arm.Clip(name))
		}
		declared.Items = append(declared.Items, s.place(p, declared, word, 0))
		t.given[arm.Fold(word)] = args[i]
	}
	t.declared = Value{Node: declared, Scope: inner}
	out := own.Get("output").Get("value")
	if out.Node == nil {
		return Value{}, fmt.Errorf("%s() has no output", arm.Clip(name))
	}
	return Value{Node: out.Node, Scope: inner}.Resolve()
}

// NewText returns a text that was given for a parameter.
func NewText(s string) *document.Node {
	return &document.Node{Kind: document.Text, Text: s, Key: "--parameters"}
}
