package function

import (
	"errors"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// reference implements reference(id, symbolic name or name[, version[, 'Full']]) for a deployment in
// the template, and returns its outputs. The properties of any other resource are known only to Azure.
func reference(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := words(args)
	if err != nil {
		return template.Value{}, err
	}
	m, err := s.FindModule(all[0])
	if err != nil {
		return template.Value{}, err
	}
	outputs, err := m.Outputs(s, at)
	if err != nil {
		return template.Value{}, err
	}
	inner, err := s.MakeObject(at, []template.Field{{Key: "outputs", Value: outputs}})
	if err != nil {
		return template.Value{}, err
	}
	return s.MakeObject(at, []template.Field{{Key: "outputs", Value: outputs}, {Key: "properties", Value: inner}})
}

// resourceInfo implements resourceInfo(symbolic name): the id, the type and the name of a resource in the template.
func resourceInfo(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	word, err := args[0].Word()
	if err != nil {
		return template.Value{}, err
	}
	var out template.Value
	err = errors.New("the template has no such resource for resourceInfo()")
	each := s.Template.EachResource(func(symbol string, v template.Value) error {
		if arm.Fold(symbol) != arm.Fold(word) {
			return nil
		}
		var id arm.ID
		typ, name := "", ""
		if typ, name, id, err = s.Identified(v); err == nil {
			out, err = s.Texts(at, "id", id.String(), "type", typ, "name", name)
		}
		return nil
	})
	return out, errors.Join(err, each)
}
