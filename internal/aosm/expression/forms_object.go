package expression

import (
	"errors"
	"fmt"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// evalToObject evaluates toObject(array, lambda of the key[, lambda of the value]).
func evalToObject(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	if len(t.args) != 2 && len(t.args) != 3 {
		return template.Value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	var values *lambda
	if len(t.args) == 3 {
		var err error
		if values, err = lambdaOf(s, t.args[2], at, 1, 1); err != nil {
			return template.Value{}, err
		}
	}
	keys := *t
	keys.args = t.args[:2]
	var all []template.Field
	err := overItems(s, &keys, at, 2, 1, func(l *lambda, item, _ template.Value) error {
		key, err := l.key(item)
		made := item
		if err == nil && values != nil {
			made, err = values.call(item)
		}
		all = append(all, template.Field{Key: key, Value: made})
		return err
	})
	if err != nil {
		return template.Value{}, err
	}
	return s.MakeObject(at, all)
}

// key calls a lambda that returns the name of a member.
func (l *lambda) key(item template.Value) (string, error) {
	v, err := l.call(item)
	if err != nil {
		return "", err
	}
	word, err := v.Word()
	return word, errors.Join(err, v.Charge(), arm.Known(word))
}

// evalMapValues evaluates mapValues(object, lambda).
func evalMapValues(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	if len(t.args) != 2 {
		return template.Value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	l, err := lambdaOf(s, t.args[1], at, 1, 1)
	if err != nil {
		return template.Value{}, err
	}
	v, err := eval(s, t.args[0], at)
	if err != nil {
		return template.Value{}, err
	}
	all, err := v.Members()
	if err != nil {
		return template.Value{}, err
	}
	for i, m := range all {
		if all[i].Value, err = l.call(m.Value); err != nil {
			return template.Value{}, err
		}
	}
	return s.MakeObject(at, all)
}

// evalGroupBy evaluates groupBy(array, lambda of the key).
func evalGroupBy(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	groups := map[string][]template.Value{}
	var names []string
	err := overItems(s, t, at, 2, 1, func(l *lambda, item, _ template.Value) error {
		key, err := l.key(item)
		if len(groups[key]) == 0 {
			names = append(names, key)
		}
		groups[key] = append(groups[key], item)
		return err
	})
	all := make([]template.Field, len(names))
	for i, name := range names {
		if err != nil {
			break
		}
		all[i].Key = name
		all[i].Value, err = s.MakeArray(at, groups[name])
	}
	if err != nil {
		return template.Value{}, err
	}
	return s.MakeObject(at, all)
}
