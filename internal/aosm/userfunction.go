package aosm

import (
	"fmt"
	"strings"
)

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
