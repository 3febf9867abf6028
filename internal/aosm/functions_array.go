package aosm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var arrayFunctions = map[string]function{
	"array": {1, 1, asArray}, "createarray": {0, many, createArray}, "range": {2, 2, rangeOf}, "contains": {2, 2, contains},
	"length": {1, 1, length}, "empty": {1, 1, empty}, "equals": {2, 2, equals}, "first": {1, 1, end(true)}, "last": {1, 1, end(false)},
	"skip": {2, 2, part(false)}, "take": {2, 2, part(true)}, "union": {1, many, union}, "intersection": {1, many, intersection},
	"flatten": {1, 1, flatten}, "indexfromend": {2, 2, indexFromEnd}, "indexof": {2, 2, indexOf(false)}, "lastindexof": {2, 2, indexOf(true)},
}

func createArray(s *scope, at *node, args []value) (value, error) { return s.makeArray(at, args) }

func asArray(s *scope, at *node, args []value) (value, error) {
	if args[0].node != nil && args[0].kind == array {
		return args[0], nil
	}
	return s.makeArray(at, args)
}

// rangeOf is range(start, count). ARM's bound is 10000 numbers.
func rangeOf(s *scope, at *node, args []value) (value, error) {
	start, errStart := args[0].integer()
	count, errCount := args[1].integer()
	if err := errors.Join(errStart, errCount); err != nil {
		return value{}, err
	}
	if count < 0 || count > 10000 {
		return value{}, fmt.Errorf("range() makes from 0 to 10000 numbers, not %d", count)
	}
	if err := s.spend(count, 100*count); err != nil {
		return value{}, err
	}
	all := make([]value, count)
	for i := range all {
		var err error
		if all[i], err = s.number(at, start+i); err != nil {
			return value{}, err
		}
	}
	return s.makeArray(at, all)
}

func contains(s *scope, at *node, args []value) (value, error) {
	in, what := args[0], args[1]
	if in.isArray() {
		i, err := position(in, what, false)
		if err != nil {
			return value{}, err
		}
		return s.make(at, boolean, strconv.FormatBool(i >= 0))
	}
	word, err := what.word()
	if err != nil {
		return value{}, err
	}
	if in.node != nil && in.kind == object {
		if err := known(word); err != nil {
			return value{}, err
		}
		return s.make(at, boolean, strconv.FormatBool(in.get(word).node != nil))
	}
	text, err := in.word()
	if err != nil {
		return value{}, err
	}
	if strings.Contains(text, word) {
		return s.make(at, boolean, "true")
	}
	if err := known(text, word); err != nil {
		return value{}, err
	}
	return s.make(at, boolean, "false")
}

// position is the index of an item in an array, -1 for none.
func position(in, what value, last bool) (int, error) {
	all, err := allRendered(in.items())
	if err != nil {
		return 0, err
	}
	one, err := what.rendered()
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

// indexOf is the index of an item in an array, or of a text in a text, where case does not matter.
func indexOf(last bool) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		if args[0].isArray() {
			i, err := position(args[0], args[1], last)
			if err != nil {
				return value{}, err
			}
			return s.number(at, i)
		}
		all, err := knownWords(args)
		if err != nil {
			return value{}, err
		}
		find := strings.Index
		if last {
			find = strings.LastIndex
		}
		in := fold(all[0])
		i := find(in, fold(all[1]))
		if i > 0 {
			i = len([]rune(in[:i]))
		}
		return s.number(at, i)
	}
}

// end is the first or the last item of an array, or character of a text.
func end(first bool) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		if v := args[0]; v.isArray() {
			i := 0
			if !first {
				i = v.size() - 1
			}
			if v.size() == 0 {
				return s.make(at, null, "")
			}
			return v.item(i).resolve()
		}
		all, err := knownWords(args)
		if err != nil {
			return value{}, err
		}
		runes := []rune(all[0])
		switch {
		case len(runes) == 0:
			return s.make(at, text, "")
		case first:
			return s.make(at, text, string(runes[0]))
		}
		return s.make(at, text, string(runes[len(runes)-1]))
	}
}

// part is what is left of an array or a text after some of it (skip), or until then (take).
func part(head bool) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		n, err := args[1].integer()
		if err != nil {
			return value{}, err
		}
		if args[0].isArray() {
			all := args[0].items()
			n = min(max(n, 0), len(all))
			if head {
				return s.makeArray(at, all[:n])
			}
			return s.makeArray(at, all[n:])
		}
		all, err := knownWords(args[:1])
		if err != nil {
			return value{}, err
		}
		runes := []rune(all[0])
		n = min(max(n, 0), len(runes))
		if head {
			return s.make(at, text, string(runes[:n]))
		}
		return s.make(at, text, string(runes[n:]))
	}
}

func flatten(s *scope, at *node, args []value) (value, error) {
	if !args[0].isArray() {
		return value{}, errors.New("flatten() takes an array of arrays")
	}
	var all []value
	for _, item := range args[0].items() {
		inner, err := item.resolve()
		if err != nil {
			return value{}, err
		}
		if !inner.isArray() {
			return value{}, errors.New("flatten() takes an array of arrays")
		}
		if err := s.spend(inner.size(), 100*inner.size()); err != nil {
			return value{}, err
		}
		all = append(all, inner.items()...)
	}
	return s.makeArray(at, all)
}

func indexFromEnd(_ *scope, _ *node, args []value) (value, error) {
	n, err := args[1].integer()
	if err != nil {
		return value{}, err
	}
	if !args[0].isArray() || n < 1 || n > args[0].size() {
		return value{}, fmt.Errorf("there is no item %d from the end", n)
	}
	return args[0].item(args[0].size() - n).resolve()
}

// union joins arrays without the items that are there already, or objects, in which the last one counts.
func union(s *scope, at *node, args []value) (value, error) {
	if !args[0].isArray() {
		return merge(s, at, args, true)
	}
	var all []value
	seen := map[string]bool{}
	for _, a := range args {
		if !a.isArray() {
			return value{}, errors.New("union() joins arrays with arrays, or objects with objects, alone")
		}
		for _, item := range a.items() {
			one, err := item.rendered()
			if err != nil {
				return value{}, err
			}
			if err := s.spend(1, len(one)); err != nil {
				return value{}, err
			}
			if !seen[one] {
				seen[one] = true
				all = append(all, item)
			}
		}
	}
	return s.makeArray(at, all)
}

// intersection has the items that are in all arrays.
func intersection(s *scope, at *node, args []value) (value, error) {
	if !args[0].isArray() {
		return common(s, at, args)
	}
	all := args[0].items()
	for _, a := range args[1:] {
		if !a.isArray() {
			return value{}, errors.New("intersection() takes arrays, or objects, alone")
		}
		var err error
		if all, err = alsoIn(s, all, a); err != nil {
			return value{}, err
		}
	}
	return s.makeArray(at, all)
}

// alsoIn are the items that an array has, too.
func alsoIn(s *scope, all []value, in value) ([]value, error) {
	others, err := allRendered(in.items())
	if err != nil {
		return nil, err
	}
	var kept []value
	for _, item := range all {
		one, err := item.rendered()
		if err != nil {
			return nil, err
		}
		i, err := among(others, one)
		if err = errors.Join(err, s.spend(1+len(others)/8, 0)); err != nil {
			return nil, err
		}
		if i >= 0 {
			kept = append(kept, item)
		}
	}
	return kept, nil
}
