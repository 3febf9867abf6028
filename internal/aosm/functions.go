package aosm

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// function is a function of ARM's template language whose result follows from its arguments.
type function struct {
	least, most int
	call        func(s *scope, at *node, args []value) (value, error)
}

const many = 1000

// functions are those that an import evaluates, by folded name. They are filled in from the tables of the other files.
var functions map[string]function

// atDeployment are the functions that only a deployment can answer, and whose result is not text.
var atDeployment = map[string]bool{
	"environment": true, "listkeys": true, "listcredential": true, "listaccountsas": true, "listsecrets": true, "providers": true,
	"pickzones": true, "managementgroup": true, "datetimeadd": true, "datetimefromepoch": true, "datetimetoepoch": true, "externalinput": true,
}

func init() {
	functions = map[string]function{
		"parameters": {1, 1, named((*template).parameter)}, "variables": {1, 1, named((*template).variable)},
		"true": {0, 0, constant(boolean, "true")}, "false": {0, 0, constant(boolean, "false")}, "null": {0, 0, constant(null, "")},
		"not": {1, 1, not}, "copyindex": {0, 2, copyIndex}, "reference": {1, 3, reference}, "resourceinfo": {1, 1, resourceInfo},
		"resourceid": {2, many, idOf}, "extensionresourceid": {3, many, extensionID}, "subscriptionresourceid": {2, many, subscriptionID},
		"tenantresourceid": {2, many, tenantID}, "subscription": {0, 0, subscription}, "resourcegroup": {0, 0, resourceGroup},
		"deployment": {0, 0, deployment}, "tenant": {0, 0, tenant}, "deployer": {0, 0, deployer},
		"uniquestring": {1, many, unanswered("uniqueString")}, "guid": {1, many, unanswered("guid")}, "newguid": {0, 0, unanswered("newGuid")}, "utcnow": {0, 1, unanswered("utcNow")},
	}
	for _, more := range []map[string]function{textFunctions, arrayFunctions, objectFunctions, numberFunctions} {
		for name, f := range more {
			functions[name] = f
		}
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

// unanswered is a function whose result is a text that only a deployment knows.
func unanswered(name string) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		var b strings.Builder
		b.WriteString(name)
		for _, a := range args {
			b.WriteByte(',')
			if err := a.render(&b); err != nil {
				return value{}, err
			}
		}
		if err := s.spend(1, b.Len()); err != nil {
			return value{}, err
		}
		word, err := s.unknowns.of(b.String())
		if err != nil {
			return value{}, err
		}
		return s.make(at, text, word)
	}
}

func not(s *scope, at *node, args []value) (value, error) {
	yes, err := args[0].truth()
	if err != nil {
		return value{}, err
	}
	return s.make(at, boolean, strconv.FormatBool(!yes))
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

// knownWords are the texts of all arguments, none of which depends on the deployment.
func knownWords(args []value) ([]string, error) {
	all, err := words(args)
	if err != nil {
		return nil, err
	}
	return all, known(all...)
}

func equals(s *scope, at *node, args []value) (value, error) {
	yes, err := same(args[0], args[1])
	if err != nil {
		return value{}, err
	}
	return s.make(at, boolean, strconv.FormatBool(yes))
}

// among reports whether a value is equal to one of others, given as JSON.
func among(all []string, one string) (int, error) {
	i := slices.Index(all, one)
	if i >= 0 || one == "null" {
		return i, nil
	}
	return i, known(append([]string{one}, all...)...)
}

// allRendered are the items of an array as JSON.
func allRendered(items []value) ([]string, error) {
	all := make([]string, len(items))
	for i, item := range items {
		var err error
		if all[i], err = item.rendered(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func empty(s *scope, at *node, args []value) (value, error) {
	v := args[0]
	none := !v.there() || (v.kind == text && v.text == "")
	if v.there() && (v.kind == array || v.kind == object) {
		none = v.size() == 0
	}
	return s.make(at, boolean, strconv.FormatBool(none))
}

func length(s *scope, at *node, args []value) (value, error) {
	switch v := args[0]; {
	case v.node == nil || v.kind == null || v.kind == number || v.kind == boolean:
		return value{}, errors.New("length() takes a text, an array or an object")
	case v.kind == object:
		all, err := v.members()
		if err != nil {
			return value{}, err
		}
		return s.number(at, len(all))
	case v.kind == array:
		return s.number(at, v.size())
	default:
		if err := known(v.text); err != nil {
			return value{}, err
		}
		return s.number(at, utf8.RuneCountInString(v.text))
	}
}
