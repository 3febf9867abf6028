package aosm

import "errors"

// reference is reference(id, symbolic name or name[, version[, 'Full']]) of a deployment in the template, with its
// outputs. What any other resource is only Azure knows.
func reference(s *scope, at *node, args []value) (value, error) {
	all, err := words(args)
	if err != nil {
		return value{}, err
	}
	m, err := s.findModule(all[0])
	if err != nil {
		return value{}, err
	}
	outputs, err := m.outputs(s, at)
	if err != nil {
		return value{}, err
	}
	inner, err := s.makeObject(at, []field{{"outputs", outputs}})
	if err != nil {
		return value{}, err
	}
	return s.makeObject(at, []field{{"outputs", outputs}, {"properties", inner}})
}

// resourceInfo is resourceInfo(symbolic name): the id, the type and the name of a resource in the template.
func resourceInfo(s *scope, at *node, args []value) (value, error) {
	word, err := args[0].word()
	if err != nil {
		return value{}, err
	}
	var out value
	err = errors.New("the template has no such resource for resourceInfo()")
	each := s.template.eachResource(func(symbol string, v value) error {
		if fold(symbol) != fold(word) {
			return nil
		}
		var id resourceID
		typ, name := "", ""
		if typ, name, id, err = s.identified(v); err == nil {
			out, err = s.texts(at, "id", id.String(), "type", typ, "name", name)
		}
		return nil
	})
	return out, errors.Join(err, each)
}
