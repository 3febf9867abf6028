package expression

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// form is a function that evaluates its arguments itself: not all of them, or one of them many times.
type form func(s *template.Scope, t *term, at *document.Node) (template.Value, error)

// forms is filled in by init, because a literal would refer to itself: forms evaluate terms, which look up forms.
var forms map[string]form

func init() {
	forms = map[string]form{
		"if": evalIf, "coalesce": evalCoalesce, "and": evalLogic(false), "or": evalLogic(true),
		"map": evalMap, "filter": evalFilter, "reduce": evalReduce, "sort": evalSort,
		"toobject": evalToObject, "mapvalues": evalMapValues, "groupby": evalGroupBy, "lambdavariables": evalVariable,
	}
}

// evalIf evaluates only the branch that is taken.
func evalIf(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	if len(t.args) != 3 {
		return template.Value{}, errors.New("if() has not three arguments")
	}
	yes, err := evalTruth(s, t.args[0], at)
	switch {
	case err != nil:
		return template.Value{}, err
	case yes:
		return eval(s, t.args[1], at)
	}
	return eval(s, t.args[2], at)
}

func evalTruth(s *template.Scope, t *term, at *document.Node) (bool, error) {
	v, err := eval(s, t, at)
	if err != nil {
		return false, err
	}
	return v.Truth()
}

// evalCoalesce evaluates to the first argument that is not null.
func evalCoalesce(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	if len(t.args) == 0 {
		return template.Value{}, errors.New("coalesce() has no arguments")
	}
	for _, a := range t.args {
		v, err := eval(s, a, at)
		if err != nil || v.There() {
			return v, err
		}
	}
	return s.Make(at, document.Null, "")
}

// evalLogic evaluates arguments until one of them decides.
func evalLogic(decides bool) form {
	return func(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
		if len(t.args) < 2 {
			return template.Value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
		}
		for _, a := range t.args {
			yes, err := evalTruth(s, a, at)
			if err != nil {
				return template.Value{}, err
			}
			if yes == decides {
				return s.Make(at, document.Boolean, strconv.FormatBool(decides))
			}
		}
		return s.Make(at, document.Boolean, strconv.FormatBool(!decides))
	}
}

// evalVariable evaluates lambdaVariables(name).
func evalVariable(s *template.Scope, t *term, _ *document.Node) (template.Value, error) {
	if len(t.args) != 1 || t.args[0].kind != document.Text {
		return template.Value{}, errors.New("lambdaVariables() needs one name")
	}
	if v, ok := s.Variable(t.args[0].text); ok {
		return v.Resolve()
	}
	return template.Value{}, fmt.Errorf("lambdaVariables(%q) stands in no such lambda", arm.Clip(t.args[0].text))
}

// lambda is an argument that is a function: lambda('name', ..., body).
type lambda struct {
	scope *template.Scope
	at    *document.Node
	names []string
	body  *term
}

// lambdaOf returns the lambda of a term, which must have least to most variables.
func lambdaOf(s *template.Scope, t *term, at *document.Node, least, most int) (*lambda, error) {
	if t.of != nil || t.kind != document.Object || t.text != "lambda" || len(t.args) < 1 {
		return nil, errors.New("an argument is not a lambda()")
	}
	l := &lambda{scope: s, at: at, body: t.args[len(t.args)-1]}
	for _, a := range t.args[:len(t.args)-1] {
		if a.kind != document.Text || a.of != nil {
			return nil, errors.New("a variable of a lambda() is not a name")
		}
		l.names = append(l.names, a.text)
	}
	if len(l.names) < least || len(l.names) > most {
		return nil, fmt.Errorf("a lambda() has %d variables", len(l.names))
	}
	return l, nil
}

func (l *lambda) call(args ...template.Value) (template.Value, error) {
	s := l.scope
	for i, name := range l.names {
		s = s.Bind(name, args[i])
	}
	done, err := s.Deeper()
	if err != nil {
		return template.Value{}, err
	}
	defer done()
	return eval(s, l.body, l.at)
}

// overItems evaluates the first argument, an array, and calls each with every item and the lambda in the last argument.
func overItems(s *template.Scope, t *term, at *document.Node, args, most int, each func(l *lambda, item, index template.Value) error) error {
	if len(t.args) != args {
		return fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	v, err := eval(s, t.args[0], at)
	if err != nil {
		return err
	}
	if v.Node == nil || v.Kind != document.Array {
		return fmt.Errorf("the first argument of %s() is not an array", t.text)
	}
	l, err := lambdaOf(s, t.args[args-1], at, 1, most)
	if err != nil {
		return err
	}
	for i, item := range v.Items() {
		index, err := s.Number(at, i)
		if err == nil {
			err = each(l, item, index)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func evalMap(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	var all []template.Value
	err := overItems(s, t, at, 2, 2, func(l *lambda, item, index template.Value) error {
		v, err := l.call(item, index)
		all = append(all, v)
		return err
	})
	if err != nil {
		return template.Value{}, err
	}
	return s.MakeArray(at, all)
}

func evalFilter(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	var all []template.Value
	err := overItems(s, t, at, 2, 2, func(l *lambda, item, index template.Value) error {
		v, err := l.call(item, index)
		if err != nil {
			return err
		}
		yes, err := v.Truth()
		if yes {
			all = append(all, item)
		}
		return err
	})
	if err != nil {
		return template.Value{}, err
	}
	return s.MakeArray(at, all)
}

// evalReduce evaluates reduce(array, start, lambda(current, next)).
func evalReduce(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	if len(t.args) != 3 {
		return template.Value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	sum, err := eval(s, t.args[1], at)
	if err != nil {
		return template.Value{}, err
	}
	err = overItems(s, t, at, 3, 3, func(l *lambda, item, index template.Value) error {
		if len(l.names) < 2 {
			return errors.New("the lambda() of reduce() has one variable")
		}
		var err error
		sum, err = l.call(sum, item, index)
		return err
	})
	return sum, err
}

// evalSort evaluates sort(array, lambda): the lambda returns whether its first argument comes before its second.
func evalSort(s *template.Scope, t *term, at *document.Node) (template.Value, error) {
	if len(t.args) != 2 {
		return template.Value{}, fmt.Errorf("%s() has %d arguments", t.text, len(t.args))
	}
	l, err := lambdaOf(s, t.args[1], at, 2, 2)
	if err != nil {
		return template.Value{}, err
	}
	v, err := eval(s, t.args[0], at)
	if err != nil {
		return template.Value{}, err
	}
	if v.Node == nil || v.Kind != document.Array {
		return template.Value{}, errors.New("the first argument of sort() is not an array")
	}
	all := v.Items()
	var failed error
	before := func(a, b template.Value) bool {
		out, err := l.call(a, b)
		yes := false
		if err == nil {
			yes, err = out.Truth()
		}
		if failed == nil {
			failed = err
		}
		return yes
	}
	slices.SortStableFunc(all, func(a, b template.Value) int {
		switch {
		case failed != nil:
			return 0
		case before(a, b):
			return -1
		case before(b, a):
			return 1
		}
		return 0
	})
	if failed != nil {
		return template.Value{}, failed
	}
	return s.MakeArray(at, all)
}
