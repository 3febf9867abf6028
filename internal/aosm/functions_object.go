package aosm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

var objectFunctions = map[string]function{
	"createobject": {0, many, createObject}, "items": {1, 1, itemsOf}, "objectkeys": {1, 1, keysOf}, "shallowmerge": {1, 1, shallowMerge},
	"json": {1, 1, asJSON}, "string": {1, 1, asString}, "tryget": {2, many, tryGet},
}

func createObject(s *scope, at *node, args []value) (value, error) {
	if len(args)%2 != 0 {
		return value{}, errors.New("createObject() has a name without a value")
	}
	var all []field
	for i := 0; i < len(args); i += 2 {
		names, err := knownWords(args[i : i+1])
		if err != nil {
			return value{}, err
		}
		all = append(all, field{names[0], args[i+1]})
	}
	return s.makeObject(at, all)
}

// merge joins objects: of members of the same name the last one counts, and with deep set objects among them
// are joined in their turn, as union() does.
func merge(s *scope, at *node, objects []value, deep bool) (value, error) {
	done, err := s.deeper()
	if err != nil {
		return value{}, err
	}
	defer done()
	var all []field
	places := map[string]int{}
	for _, o := range objects {
		if o.node == nil || o.kind != object {
			return value{}, errors.New("union() joins arrays with arrays, or objects with objects, alone")
		}
		members, err := o.members()
		if err != nil {
			return value{}, err
		}
		for _, m := range members {
			i, again := places[fold(m.key)]
			if !again {
				places[fold(m.key)] = len(all)
				all = append(all, m)
				continue
			}
			if all[i], err = over(s, at, all[i], m, deep); err != nil {
				return value{}, err
			}
		}
	}
	return s.makeObject(at, all)
}

// over is one member over another of the same name.
func over(s *scope, at *node, below, above field, deep bool) (field, error) {
	if !deep {
		return above, nil
	}
	a, errA := below.value.resolve()
	b, errB := above.value.resolve()
	if errA != nil || errB != nil || a.node == nil || b.node == nil || a.kind != object || b.kind != object {
		return above, nil // what cannot be decided is reported where it matters
	}
	merged, err := merge(s, at, []value{a, b}, true)
	return field{above.key, merged}, err
}

func shallowMerge(s *scope, at *node, args []value) (value, error) {
	if !args[0].isArray() {
		return value{}, errors.New("shallowMerge() takes an array of objects")
	}
	var all []value
	for _, item := range args[0].items() {
		v, err := item.resolve()
		if err != nil {
			return value{}, err
		}
		all = append(all, v)
	}
	return merge(s, at, all, false)
}

// common has the members that are equal in all objects.
func common(s *scope, at *node, objects []value) (value, error) {
	all, err := objects[0].members()
	if err != nil {
		return value{}, err
	}
	for _, o := range objects {
		if o.node == nil || o.kind != object {
			return value{}, errors.New("intersection() takes arrays, or objects, alone")
		}
		if all, err = sameIn(all, o); err != nil {
			return value{}, err
		}
	}
	return s.makeObject(at, all)
}

// sameIn are the members that an object has with the same value.
func sameIn(all []field, o value) ([]field, error) {
	var kept []field
	for _, m := range all {
		other := o.get(m.key)
		if other.node == nil {
			continue
		}
		yes, err := same(m.value, other)
		if err != nil {
			return nil, err
		}
		if yes {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// itemsOf is an object as an array of its members, each with key and value, in the order of their names.
func itemsOf(s *scope, at *node, args []value) (value, error) {
	members, err := sorted(args[0])
	if err != nil {
		return value{}, err
	}
	all := make([]value, len(members))
	for i, m := range members {
		key, err := s.make(at, text, m.key)
		if err != nil {
			return value{}, err
		}
		if all[i], err = s.makeObject(at, []field{{"key", key}, {"value", m.value}}); err != nil {
			return value{}, err
		}
	}
	return s.makeArray(at, all)
}

func keysOf(s *scope, at *node, args []value) (value, error) {
	members, err := sorted(args[0])
	if err != nil {
		return value{}, err
	}
	all := make([]value, len(members))
	for i, m := range members {
		if all[i], err = s.make(at, text, m.key); err != nil {
			return value{}, err
		}
	}
	return s.makeArray(at, all)
}

func sorted(v value) ([]field, error) {
	if v.node == nil || v.kind != object {
		return nil, errors.New("an object is needed, and something else is there")
	}
	members, err := v.members()
	slices.SortStableFunc(members, func(a, b field) int { return cmp.Compare(fold(a.key), fold(b.key)) })
	return members, err
}

// tryGet is a member of a member, or item of an item; null where there is none.
func tryGet(s *scope, at *node, args []value) (value, error) {
	v := args[0]
	for _, step := range args[1:] {
		if !v.there() {
			break
		}
		if v.isArray() {
			i, err := step.integer()
			if err != nil {
				return value{}, err
			}
			v = v.item(i)
		} else {
			names, err := knownWords([]value{step})
			if err != nil {
				return value{}, err
			}
			v = v.get(names[0])
		}
		var err error
		if v, err = v.resolve(); err != nil {
			return value{}, fmt.Errorf("a member that tryGet() takes: %w", err)
		}
	}
	if v.node == nil {
		return s.make(at, null, "")
	}
	return v, nil
}
