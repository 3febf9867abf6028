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
	given map[string]setting
}

// setting is one value, with the parameter's name as it was written.
type setting struct {
	name  string
	value *node
	// shared is true for a value of a file, which can be for other templates, too.
	shared bool
}

// Set gives one parameter a value, written NAME=VALUE. A later value of the same name, in any case,
// replaces an earlier one. A value for a parameter that is not text is JSON.
func (p *Parameters) Set(pair string) error {
	name, text, ok := strings.Cut(pair, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not NAME=VALUE", clip(pair))
	}
	p.put(setting{name, newText(text), false})
	return nil
}

// Read gives parameters the values of a parameter file: ARM's, or the names and values that az aosm writes.
// Errors wrap ErrInput.
func (p *Parameters) Read(r io.Reader) error {
	data, err := read(r)
	if err != nil {
		return err
	}
	if err := checkText(data); err != nil {
		return err
	}
	documents, err := parse(data)
	if err != nil {
		return err
	}
	if len(documents) != 1 {
		return errNoParameterFile
	}
	return p.readDocument(documents[0])
}

var errNoParameterFile = fmt.Errorf("%w: it is not a parameter file, which is one object with parameters", ErrInput)

func (p *Parameters) readDocument(root *node) error {
	if root.kind != object {
		return errNoParameterFile
	}
	if inner := root.member("parameters"); inner != nil && inner.kind == object && !isEntry(inner) {
		return p.readMembers(inner, true)
	}
	return p.readMembers(root, false)
}

// isEntry reports whether a node gives a parameter its value as ARM writes it.
func isEntry(n *node) bool {
	if n.kind != object || (n.member("value") == nil && n.member("reference") == nil) {
		return false
	}
	return !slices.ContainsFunc(n.items, func(m *node) bool {
		return !slices.Contains([]string{"value", "reference", "metadata", "type"}, fold(m.key))
	})
}

// readMembers reads the members of an object of parameters. With strict set, each is an entry as ARM writes it.
func (p *Parameters) readMembers(root *node, strict bool) error {
	for _, m := range root.items {
		v := m
		if strict || isEntry(m) {
			v = m.member("value")
		}
		switch {
		case m.twin:
			return fmt.Errorf("%w: %s and another parameter differ in case only", ErrInput, m.path())
		case v == nil && m.member("reference") == nil:
			return fmt.Errorf("%w: %s has neither a value nor a reference", ErrInput, m.path())
		case v == nil:
			p.put(setting{m.key, newText(vaultSecret), true})
		case !strict && (fold(m.key) == "$schema" || fold(m.key) == "contentversion"):
		default:
			p.put(setting{m.key, v, true})
		}
	}
	return nil
}

func (p *Parameters) put(g setting) {
	if p.given == nil {
		p.given = map[string]setting{}
	}
	p.given[fold(g.name)] = g
}

// over are the parameters with those of others below them.
func (p Parameters) over(others Parameters) Parameters {
	all := maps.Clone(others.given)
	if all == nil {
		all = map[string]setting{}
	}
	maps.Copy(all, p.given)
	return Parameters{given: all}
}

// differs returns the name of a parameter that others give another value.
func (p Parameters) differs(others Parameters) (string, bool) {
	for _, name := range others.names() {
		mine, ok := p.given[name]
		if !ok {
			continue
		}
		as := func(s setting) value { return value{node: s.value, scope: &scope{session: newSession(nil)}} }
		if yes, err := same(as(mine), as(others.given[name])); err != nil || !yes {
			return mine.name, true
		}
	}
	return "", false
}

// names are the folded names of the parameters that are given, sorted.
func (p *Parameters) names() []string { return slices.Sorted(maps.Keys(p.given)) }

// values are the parameters as a template takes them.
func (p *Parameters) values(s *session) map[string]value {
	all := make(map[string]value, len(p.given))
	for name, g := range p.given {
		all[name] = value{node: g.value, scope: &scope{session: s}}
	}
	return all
}
