package aosm

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Parameters are the values that a template's parameters are given.
type Parameters struct {
	given map[string]*node
}

// Set gives one parameter a value, written NAME=VALUE. A later value of the same name, in any case,
// replaces an earlier one. A value for a parameter that is no text is JSON.
func (p *Parameters) Set(pair string) error {
	name, text, ok := strings.Cut(pair, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not NAME=VALUE", clip(pair))
	}
	p.put(name, newText(text))
	return nil
}

// Read gives parameters the values of an ARM parameter file. Errors wrap ErrInput.
func (p *Parameters) Read(r io.Reader) error {
	data, err := read(r)
	if err != nil {
		return err
	}
	documents, err := parse(data)
	if err != nil {
		return err
	}
	if len(documents) != 1 || documents[0].kind != object {
		return fmt.Errorf("%w: it is no parameter file, which is one object with parameters", ErrInput)
	}
	root := documents[0]
	if inner := root.member("parameters"); inner != nil {
		root = inner
	}
	for _, m := range root.items {
		v := m.member("value")
		switch {
		case m.twin:
			return fmt.Errorf("%w: %s and another parameter differ in case only", ErrInput, m.path())
		case v != nil:
			p.put(m.key, v)
		case m.member("reference") != nil: // a secret elsewhere: it has no value here
		default:
			return fmt.Errorf("%w: %s has neither a value nor a reference", ErrInput, m.path())
		}
	}
	return nil
}

func (p *Parameters) put(name string, n *node) {
	if p.given == nil {
		p.given = map[string]*node{}
	}
	p.given[fold(name)] = n
}

// names are the folded names of the parameters that are given, sorted.
func (p *Parameters) names() []string { return slices.Sorted(maps.Keys(p.given)) }

func newText(s string) *node { return &node{kind: text, text: s, key: "--parameters"} }

// values are the parameters as a template takes them.
func (p *Parameters) values(s *session) map[string]value {
	all := make(map[string]value, len(p.given))
	for name, n := range p.given {
		all[name] = value{node: n, scope: &scope{session: s}}
	}
	return all
}

// as is a given value as the type that the template declares: what is no text can be given as JSON.
func (v value) as(typ value) (value, error) {
	v, err := v.resolve()
	if err != nil || v.node == nil || v.kind != text || !typ.there() {
		return v, err
	}
	switch fold(typ.text) {
	case "int", "bool", "array", "object", "secureobject":
	default:
		return v, nil
	}
	documents, err := parse([]byte(v.text))
	if err != nil || len(documents) != 1 {
		return value{}, fmt.Errorf("the value that a parameter is given is no %s, written as JSON", clip(typ.text))
	}
	documents[0].key = "--parameters"
	return value{node: documents[0], scope: &scope{session: v.scope.session}}, v.scope.spend(1, len(v.text))
}
