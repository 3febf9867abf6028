package input

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// Parameters are values for the parameters of templates.
type Parameters struct {
	given map[string]setting
}

// setting is one value, with the parameter's name as written.
type setting struct {
	name  string
	value *document.Node
	// shared is set for a value from a file, which can also be for other templates.
	shared bool
}

// Set sets one parameter, written NAME=VALUE. A later value of the same name, in any case,
// replaces an earlier one. The value of a parameter that is not text is written as JSON.
func (p *Parameters) Set(pair string) error {
	name, text, ok := strings.Cut(pair, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not NAME=VALUE", arm.Clip(pair))
	}
	p.put(setting{name, template.NewText(text), false})
	return nil
}

// Read sets the parameters of a parameter file: ARM's form, or the names
// and values that az aosm writes. Errors wrap ErrInput or come from r.
func (p *Parameters) Read(r io.Reader) error {
	data, err := document.Read(r)
	if err != nil {
		return err
	}
	if err := document.CheckText(data); err != nil {
		return err
	}
	documents, err := document.Parse(data)
	if err != nil {
		return err
	}
	if len(documents) != 1 {
		return errNoParameterFile
	}
	return p.readDocument(documents[0])
}

var errNoParameterFile = fmt.Errorf("%w: it is not a parameter file, which is one object with parameters", document.ErrInput)

func (p *Parameters) readDocument(root *document.Node) error {
	if root.Kind != document.Object {
		return errNoParameterFile
	}
	if inner := root.Member("parameters"); inner != nil && inner.Kind == document.Object && !isEntry(inner) {
		return p.readMembers(inner, true)
	}
	return p.readMembers(root, false)
}

// isEntry reports whether a node is a parameter's value in ARM's form.
func isEntry(n *document.Node) bool {
	if n.Kind != document.Object || (n.Member("value") == nil && n.Member("reference") == nil) {
		return false
	}
	return !slices.ContainsFunc(n.Items, func(m *document.Node) bool {
		return !slices.Contains([]string{"value", "reference", "metadata", "type"}, arm.Fold(m.Key))
	})
}

// readMembers reads the members of an object of parameters. If strict is set, each must be in ARM's form.
func (p *Parameters) readMembers(root *document.Node, strict bool) error {
	for _, m := range root.Items {
		v := m
		if strict || isEntry(m) {
			v = m.Member("value")
		}
		switch {
		case m.Twin:
			return fmt.Errorf("%w: %s and another parameter differ in case only", document.ErrInput, m.Path())
		case v == nil && m.Member("reference") == nil:
			return fmt.Errorf("%w: %s has neither a value nor a reference", document.ErrInput, m.Path())
		case v == nil:
			p.put(setting{m.Key, template.NewText(arm.VaultSecret), true})
		case !strict && (arm.Fold(m.Key) == "$schema" || arm.Fold(m.Key) == "contentversion"):
		default:
			p.put(setting{m.Key, v, true})
		}
	}
	return nil
}

func (p *Parameters) put(g setting) {
	if p.given == nil {
		p.given = map[string]setting{}
	}
	p.given[arm.Fold(g.name)] = g
}

// over returns the parameters with those of others where p has none.
func (p Parameters) over(others Parameters) Parameters {
	all := maps.Clone(others.given)
	if all == nil {
		all = map[string]setting{}
	}
	maps.Copy(all, p.given)
	return Parameters{given: all}
}

// differs returns the name of a parameter that has another value in others.
func (p Parameters) differs(others Parameters) (string, bool) {
	for _, name := range others.names() {
		mine, ok := p.given[name]
		if !ok {
			continue
		}
		as := func(s setting) template.Value {
			return template.Value{Node: s.value, Scope: &template.Scope{Session: template.NewSession(nil)}}
		}
		if yes, err := template.Same(as(mine), as(others.given[name])); err != nil || !yes {
			return mine.name, true
		}
	}
	return "", false
}

// names returns the folded names of the parameters, sorted.
func (p *Parameters) names() []string { return slices.Sorted(maps.Keys(p.given)) }

// values returns the parameters as NewTemplate takes them.
func (p *Parameters) values(s *template.Session) map[string]template.Value {
	all := make(map[string]template.Value, len(p.given))
	for name, g := range p.given {
		all[name] = template.Value{Node: g.value, Scope: &template.Scope{Session: s}}
	}
	return all
}
