package aosm

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// function is a function of ARM's template language whose result follows from its arguments.
type function struct {
	least, most int
	call        func(s *scope, at *node, args []value) (value, error)
}

const many = 1000

// functions are those that AOSM's templates use. It is filled at the start because some evaluate
// parameters, which evaluates functions.
var functions map[string]function

// atDeployment are the functions that only a deployment can answer.
var atDeployment = map[string]bool{
	"reference": true, "deployment": true, "environment": true, "utcnow": true, "newguid": true,
	"uniquestring": true, "guid": true, "listkeys": true, "listcredential": true, "tenant": true,
}

func init() {
	functions = map[string]function{
		"parameters": {1, 1, named((*template).parameter)}, "variables": {1, 1, named((*template).variable)},
		"concat": {1, many, concat}, "format": {1, many, format}, "string": {1, 1, asString}, "json": {1, 1, asJSON},
		"tolower": {1, 1, worded(strings.ToLower)}, "toupper": {1, 1, worded(strings.ToUpper)}, "replace": {3, 3, replace},
		"length": {1, 1, length}, "empty": {1, 1, empty}, "equals": {2, 2, equals}, "createarray": {0, many, createArray},
		"not":  {1, 1, logic(func(b []bool) bool { return !b[0] })},
		"and":  {2, many, logic(func(b []bool) bool { return !slices.Contains(b, false) })},
		"or":   {2, many, logic(func(b []bool) bool { return slices.Contains(b, true) })},
		"true": {0, 0, constant(boolean, "true")}, "false": {0, 0, constant(boolean, "false")}, "null": {0, 0, constant(null, "")},
		"copyindex": {0, 2, copyIndex}, "resourceid": {2, many, idOf}, "extensionresourceid": {3, many, extensionID},
		"subscription": {0, 0, subscription}, "resourcegroup": {0, 0, resourceGroup},
	}
}

func named(look func(*template, string) (value, error)) func(*scope, *node, []value) (value, error) {
	return func(s *scope, _ *node, args []value) (value, error) {
		name, err := args[0].word()
		if err != nil {
			return value{}, err
		}
		return look(s.template, name)
	}
}

func constant(k kind, word string) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, _ []value) (value, error) { return s.make(at, k, word) }
}

func worded(change func(string) string) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		w, err := args[0].word()
		if err != nil {
			return value{}, err
		}
		return s.make(at, text, change(w))
	}
}

func logic(judge func([]bool) bool) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		all := make([]bool, len(args))
		for i, a := range args {
			var err error
			if all[i], err = a.truth(); err != nil {
				return value{}, err
			}
		}
		return s.make(at, boolean, strconv.FormatBool(judge(all)))
	}
}

// words are the texts of all arguments.
func words(args []value) ([]string, error) {
	all := make([]string, len(args))
	for i, a := range args {
		var err error
		if all[i], err = a.word(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func length(s *scope, at *node, args []value) (value, error) {
	n := 0
	switch v := args[0]; {
	case v.node == nil || v.kind == null || v.kind == number || v.kind == boolean:
		return value{}, errors.New("length() takes a text, an array or an object")
	case v.kind == text:
		n = len([]rune(v.text))
	default:
		n = v.size()
	}
	return s.make(at, number, strconv.Itoa(n))
}

func empty(s *scope, at *node, args []value) (value, error) {
	v := args[0]
	none := !v.there() || (v.kind == text && v.text == "") || ((v.kind == array || v.kind == object) && v.size() == 0)
	return s.make(at, boolean, strconv.FormatBool(none))
}

func equals(s *scope, at *node, args []value) (value, error) {
	var a, b strings.Builder
	if err := errors.Join(args[0].render(&a), args[1].render(&b)); err != nil {
		return value{}, err
	}
	return s.make(at, boolean, strconv.FormatBool(a.String() == b.String()))
}

func createArray(s *scope, at *node, args []value) (value, error) { return s.makeArray(at, args) }
