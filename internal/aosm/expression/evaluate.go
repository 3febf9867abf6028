package expression

import (
	"errors"
	"fmt"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/function"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// Evaluate evaluates an expression, without its brackets, at the position of a node.
func Evaluate(s *template.Scope, expression string, at *document.Node) (template.Value, error) {
	t, err := parseExpression(expression)
	if err != nil {
		return template.Value{}, err
	}
	return eval(s, t, at)
}

// eval evaluates a term at the position of a node.
func eval(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	if err := s.Spend(1, 0); err != nil {
		return template.Value{}, err
	}
	switch {
	case t.of != nil:
		return evalPart(s, t, at)
	case t.kind != document.Object:
		return s.Make(at, t.kind, t.text)
	}
	if form, ok := forms[t.text]; ok {
		return form(s, t, at)
	}
	f, evaluated := function.All[t.text]
	own, declared := s.UserFunction(t.text)
	switch {
	case declared:
	case function.AtDeployment[t.text]:
		return template.Value{}, fmt.Errorf("what %s() says is known at deployment only; import what `az ... show` prints after the deployment", t.text)
	case !evaluated:
		return template.Value{}, fmt.Errorf("%s() is not among the functions that an import evaluates; import what `az ... show` prints after the deployment", arm.Clip(t.text))
	case len(t.args) < f.Least || len(t.args) > f.Most:
		return template.Value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	args := make([]template.Value, len(t.args))
	for i, a := range t.args {
		var err error
		if args[i], err = eval(s, a, at); err == nil {
			err = args[i].Charge()
		}
		if err != nil {
			return template.Value{}, err
		}
	}
	if declared {
		return s.CallUser(t.text, own, args)
	}
	return f.Call(s, at, args)
}

// evalPart evaluates a member or an item of a value.
func evalPart(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	of, err := eval(s, t.of, at)
	if err != nil {
		return template.Value{}, err
	}
	name := t.text
	if len(t.args) == 1 {
		index, err := eval(s, t.args[0], at)
		if err != nil {
			return template.Value{}, err
		}
		if index.Node != nil && index.Kind == document.Number {
			return of.Numbered(index.Text)
		}
		names, err := function.KnownWords([]template.Value{index})
		if err = errors.Join(err, index.Charge()); err != nil {
			return template.Value{}, err
		}
		name = names[0]
	}
	part := of.Get(name)
	if part.Node == nil {
		return template.Value{}, fmt.Errorf("no member %q, or it is known at deployment only", arm.Clip(name))
	}
	return part.Resolve()
}
