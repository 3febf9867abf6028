package aosm

import (
	"errors"
	"fmt"
)

// evalToObject is toObject(array, lambda of the key[, lambda of the value]).
func evalToObject(s *scope, t *term, at *node) (value, error) {
	if len(t.args) != 2 && len(t.args) != 3 {
		return value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	var values *lambda
	if len(t.args) == 3 {
		var err error
		if values, err = lambdaOf(s, t.args[2], at, 1, 1); err != nil {
			return value{}, err
		}
	}
	keys := *t
	keys.args = t.args[:2]
	var all []field
	err := overItems(s, &keys, at, 2, 1, func(l *lambda, item, _ value) error {
		key, err := l.key(item)
		made := item
		if err == nil && values != nil {
			made, err = values.call(item)
		}
		all = append(all, field{key, made})
		return err
	})
	if err != nil {
		return value{}, err
	}
	return s.makeObject(at, all)
}

// key calls a lambda that makes the name of a member.
func (l *lambda) key(item value) (string, error) {
	v, err := l.call(item)
	if err != nil {
		return "", err
	}
	word, err := v.word()
	return word, errors.Join(err, v.charge(), known(word))
}

// evalMapValues is mapValues(object, lambda).
func evalMapValues(s *scope, t *term, at *node) (value, error) {
	if len(t.args) != 2 {
		return value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	l, err := lambdaOf(s, t.args[1], at, 1, 1)
	if err != nil {
		return value{}, err
	}
	v, err := eval(s, t.args[0], at)
	if err != nil {
		return value{}, err
	}
	all, err := v.members()
	if err != nil {
		return value{}, err
	}
	for i, m := range all {
		if all[i].value, err = l.call(m.value); err != nil {
			return value{}, err
		}
	}
	return s.makeObject(at, all)
}

// evalGroupBy is groupBy(array, lambda of the key).
func evalGroupBy(s *scope, t *term, at *node) (value, error) {
	groups := map[string][]value{}
	var names []string
	err := overItems(s, t, at, 2, 1, func(l *lambda, item, _ value) error {
		key, err := l.key(item)
		if len(groups[key]) == 0 {
			names = append(names, key)
		}
		groups[key] = append(groups[key], item)
		return err
	})
	all := make([]field, len(names))
	for i, name := range names {
		if err != nil {
			break
		}
		all[i].key = name
		all[i].value, err = s.makeArray(at, groups[name])
	}
	if err != nil {
		return value{}, err
	}
	return s.makeObject(at, all)
}
