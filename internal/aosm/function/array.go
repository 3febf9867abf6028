package function

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

var arrayFunctions = map[string]Function{
	"array": {1, 1, asArray}, "createarray": {0, many, createArray}, "range": {2, 2, rangeOf}, "contains": {2, 2, contains},
	"length": {1, 1, length}, "empty": {1, 1, empty}, "equals": {2, 2, equals}, "first": {1, 1, end(true)}, "last": {1, 1, end(false)},
	"skip": {2, 2, part(false)}, "take": {2, 2, part(true)}, "union": {1, many, union}, "intersection": {1, many, intersection},
	"flatten": {1, 1, flatten}, "indexfromend": {2, 2, indexFromEnd}, "indexof": {2, 2, indexOf(false)}, "lastindexof": {2, 2, indexOf(true)},
}

func createArray(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	return s.MakeArray(at, args)
}

func asArray(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	if args[0].Node != nil && args[0].Kind == document.Array {
		return args[0], nil
	}
	return s.MakeArray(at, args)
}

// rangeOf implements range(start, count). ARM's bound is 10000 numbers.
func rangeOf(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	start, errStart := args[0].Integer()
	count, errCount := args[1].Integer()
	if err := errors.Join(errStart, errCount); err != nil {
		return template.Value{}, err
	}
	if count < 0 || count > 10000 {
		return template.Value{}, fmt.Errorf("range() makes from 0 to 10000 numbers, not %d", count)
	}
	if err := s.Spend(count, 100*count); err != nil {
		return template.Value{}, err
	}
	all := make([]template.Value, count)
	for i := range all {
		var err error
		if all[i], err = s.Number(at, start+i); err != nil {
			return template.Value{}, err
		}
	}
	return s.MakeArray(at, all)
}

func contains(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	in, what := args[0], args[1]
	if in.IsArray() {
		i, err := position(in, what, false)
		if err != nil {
			return template.Value{}, err
		}
		return s.Make(at, document.Boolean, strconv.FormatBool(i >= 0))
	}
	word, err := what.Word()
	if err != nil {
		return template.Value{}, err
	}
	if in.Node != nil && in.Kind == document.Object {
		if err := arm.Known(word); err != nil {
			return template.Value{}, err
		}
		return s.Make(at, document.Boolean, strconv.FormatBool(in.Get(word).Node != nil))
	}
	text, err := in.Word()
	if err != nil {
		return template.Value{}, err
	}
	if strings.Contains(text, word) {
		return s.Make(at, document.Boolean, "true")
	}
	if err := arm.Known(text, word); err != nil {
		return template.Value{}, err
	}
	return s.Make(at, document.Boolean, "false")
}

// position returns the index of an item in an array, -1 if it is not in the array.
func position(in, what template.Value, last bool) (int, error) {
	all, err := allRendered(in.Items())
	if err != nil {
		return 0, err
	}
	one, err := what.Rendered()
	if err != nil {
		return 0, err
	}
	if last {
		slices.Reverse(all)
	}
	i, err := among(all, one)
	if last && i >= 0 {
		i = len(all) - 1 - i
	}
	return i, err
}

// indexOf returns a function for the index of an item in an array, or of a text in a text, in any case.
func indexOf(last bool) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		if args[0].IsArray() {
			i, err := position(args[0], args[1], last)
			if err != nil {
				return template.Value{}, err
			}
			return s.Number(at, i)
		}
		all, err := KnownWords(args)
		if err != nil {
			return template.Value{}, err
		}
		find := strings.Index
		if last {
			find = strings.LastIndex
		}
		in := arm.Fold(all[0])
		i := find(in, arm.Fold(all[1]))
		if i > 0 {
			i = len([]rune(in[:i]))
		}
		return s.Number(at, i)
	}
}

// end returns a function for the first or last item of an array, or character of a text.
func end(first bool) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		if v := args[0]; v.IsArray() {
			i := 0
			if !first {
				i = v.Size() - 1
			}
			if v.Size() == 0 {
				return s.Make(at, document.Null, "")
			}
			return v.Item(i).Resolve()
		}
		all, err := KnownWords(args)
		if err != nil {
			return template.Value{}, err
		}
		runes := []rune(all[0])
		switch {
		case len(runes) == 0:
			return s.Make(at, document.Text, "")
		case first:
			return s.Make(at, document.Text, string(runes[0]))
		}
		return s.Make(at, document.Text, string(runes[len(runes)-1]))
	}
}

// part returns a function for the first items or characters (take), or those after them (skip).
func part(head bool) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		n, err := args[1].Integer()
		if err != nil {
			return template.Value{}, err
		}
		if args[0].IsArray() {
			all := args[0].Items()
			n = min(max(n, 0), len(all))
			if head {
				return s.MakeArray(at, all[:n])
			}
			return s.MakeArray(at, all[n:])
		}
		all, err := KnownWords(args[:1])
		if err != nil {
			return template.Value{}, err
		}
		runes := []rune(all[0])
		n = min(max(n, 0), len(runes))
		if head {
			return s.Make(at, document.Text, string(runes[:n]))
		}
		return s.Make(at, document.Text, string(runes[n:]))
	}
}

func flatten(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	if !args[0].IsArray() {
		return template.Value{}, errors.New("flatten() takes an array of arrays")
	}
	var all []template.Value
	for _, item := range args[0].Items() {
		inner, err := item.Resolve()
		if err != nil {
			return template.Value{}, err
		}
		if !inner.IsArray() {
			return template.Value{}, errors.New("flatten() takes an array of arrays")
		}
		if err := s.Spend(inner.Size(), 100*inner.Size()); err != nil {
			return template.Value{}, err
		}
		all = append(all, inner.Items()...)
	}
	return s.MakeArray(at, all)
}

func indexFromEnd(_ *template.Scope, _ *document.Node, args []template.Value) (template.Value, error) {
	n, err := args[1].Integer()
	if err != nil {
		return template.Value{}, err
	}
	if !args[0].IsArray() || n < 1 || n > args[0].Size() {
		return template.Value{}, fmt.Errorf("no item %d from the end", n)
	}
	return args[0].Item(args[0].Size() - n).Resolve()
}

// union joins arrays, each item once, or objects, in which a later member replaces an earlier one.
func union(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	if !args[0].IsArray() {
		return merge(s, at, args, true)
	}
	var all []template.Value
	seen := map[string]bool{}
	for _, a := range args {
		if !a.IsArray() {
			return template.Value{}, errors.New("union() joins arrays with arrays, or objects with objects, alone")
		}
		for _, item := range a.Items() {
			one, err := item.Rendered()
			if err != nil {
				return template.Value{}, err
			}
			if err := s.Spend(1, len(one)); err != nil {
				return template.Value{}, err
			}
			if !seen[one] {
				seen[one] = true
				all = append(all, item)
			}
		}
	}
	return s.MakeArray(at, all)
}

// intersection returns the items that all arrays have, or the members that all objects have.
func intersection(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	if !args[0].IsArray() {
		return common(s, at, args)
	}
	all := args[0].Items()
	for _, a := range args[1:] {
		if !a.IsArray() {
			return template.Value{}, errors.New("intersection() takes arrays, or objects, alone")
		}
		var err error
		if all, err = alsoIn(s, all, a); err != nil {
			return template.Value{}, err
		}
	}
	return s.MakeArray(at, all)
}

// alsoIn returns the items that the array in has, too.
func alsoIn(s *template.Scope, all []template.Value, in template.Value) ([]template.Value, error) {
	others, err := allRendered(in.Items())
	if err != nil {
		return nil, err
	}
	var kept []template.Value
	for _, item := range all {
		one, err := item.Rendered()
		if err != nil {
			return nil, err
		}
		i, err := among(others, one)
		if err = errors.Join(err, s.Spend(1+len(others)/8, 0)); err != nil {
			return nil, err
		}
		if i >= 0 {
			kept = append(kept, item)
		}
	}
	return kept, nil
}
