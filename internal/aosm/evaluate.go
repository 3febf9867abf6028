package aosm

import (
	"errors"
	"fmt"
)

// evaluate evaluates an expression, without its brackets, in the place of a node. It is what a session is given.
func evaluate(s *scope, expression string, at *node) (value, error) {
	t, err := parseExpression(expression)
	if err != nil {
		return value{}, err
	}
	return eval(s, t, at)
}

// eval evaluates a term in the place of a node.
func eval(s *scope, t *term, at *node) (value, error) {
	if err := s.spend(1, 0); err != nil {
		return value{}, err
	}
	switch {
	case t.of != nil:
		return evalPart(s, t, at)
	case t.kind != object:
		return s.make(at, t.kind, t.text)
	}
	if form, ok := forms[t.text]; ok {
		return form(s, t, at)
	}
	f, evaluated := functions[t.text]
	own, declared := s.userFunction(t.text)
	switch {
	case declared:
	case atDeployment[t.text]:
		return value{}, fmt.Errorf("what %s() says is known at deployment only; import what `az ... show` prints after the deployment", t.text)
	case !evaluated:
		return value{}, fmt.Errorf("%s() is not among the functions that an import evaluates; import what `az ... show` prints after the deployment", clip(t.text))
	case len(t.args) < f.least || len(t.args) > f.most:
		return value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	args := make([]value, len(t.args))
	for i, a := range t.args {
		var err error
		if args[i], err = eval(s, a, at); err == nil {
			err = args[i].charge()
		}
		if err != nil {
			return value{}, err
		}
	}
	if declared {
		return s.callUser(t.text, own, args)
	}
	return f.call(s, at, args)
}

// evalPart evaluates a member or an item of a value.
func evalPart(s *scope, t *term, at *node) (value, error) {
	of, err := eval(s, t.of, at)
	if err != nil {
		return value{}, err
	}
	name := t.text
	if len(t.args) == 1 {
		index, err := eval(s, t.args[0], at)
		if err != nil {
			return value{}, err
		}
		if index.node != nil && index.kind == number {
			return of.numbered(index.text)
		}
		names, err := knownWords([]value{index})
		if err = errors.Join(err, index.charge()); err != nil {
			return value{}, err
		}
		name = names[0]
	}
	part := of.get(name)
	if part.node == nil {
		return value{}, fmt.Errorf("there is no member %q, or it is known at deployment only", clip(name))
	}
	return part.resolve()
}
