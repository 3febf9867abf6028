package function

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

var objectFunctions = map[string]Function{
	"createobject": {0, many, createObject}, "items": {1, 1, itemsOf}, "objectkeys": {1, 1, keysOf}, "shallowmerge": {1, 1, shallowMerge},
	"json": {1, 1, asJSON}, "string": {1, 1, asString}, "tryget": {2, many, tryGet},
}

func createObject(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	if len(args)%2 != 0 {
		return template.Value{}, errors.New("createObject() has a name without a value")
	}
	var all []template.Field
	for i := 0; i < len(args); i += 2 {
		names, err := KnownWords(args[i : i+1])
		if err != nil {
			return template.Value{}, err
		}
		all = append(all, template.Field{Key: names[0], Value: args[i+1]})
	}
	return s.MakeObject(at, all)
}

// merge joins objects: a later member replaces an earlier one of the same name. If
// deep is set, two members that are objects are joined instead, as union() does.
func merge(s *template.Scope, at *document.Node, objects []template.Value, deep bool) (template.Value, error) {
	done, err := s.Deeper()
	if err != nil {
		return template.Value{}, err
	}
	defer done()
	var all []template.Field
	places := map[string]int{}
	for _, o := range objects {
		members, err := membersToJoin(o)
		if err != nil {
			return template.Value{}, err
		}
		for _, m := range members {
			i, again := places[arm.Fold(m.Key)]
			if !again {
				places[arm.Fold(m.Key)] = len(all)
				all = append(all, m)
				continue
			}
			if all[i], err = over(s, at, all[i], m, deep); err != nil {
				return template.Value{}, err
			}
		}
	}
	return s.MakeObject(at, all)
}

// membersToJoin returns the members of an object; it fails for any other value.
func membersToJoin(o template.Value) ([]template.Field, error) {
	if o.Node == nil || o.Kind != document.Object {
		return nil, errors.New("union() joins arrays with arrays, or objects with objects, alone")
	}
	return o.Members()
}

// over returns a member placed over an earlier one of the same name.
func over(s *template.Scope, at *document.Node, below, above template.Field, deep bool) (template.Field, error) {
	if !deep {
		return above, nil
	}
	a, errA := below.Value.Resolve()
	b, errB := above.Value.Resolve()
	if errA != nil || errB != nil || a.Node == nil || b.Node == nil || a.Kind != document.Object || b.Kind != document.Object {
		return above, nil // an error is reported where the value is used
	}
	merged, err := merge(s, at, []template.Value{a, b}, true)
	return template.Field{Key: above.Key, Value: merged}, err
}

func shallowMerge(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	if !args[0].IsArray() {
		return template.Value{}, errors.New("shallowMerge() takes an array of objects")
	}
	var all []template.Value
	for _, item := range args[0].Items() {
		v, err := item.Resolve()
		if err != nil {
			return template.Value{}, err
		}
		all = append(all, v)
	}
	return merge(s, at, all, false)
}

// common returns an object of the members that are equal in all objects.
func common(s *template.Scope, at *document.Node, objects []template.Value) (template.Value, error) {
	all, err := objects[0].Members()
	if err != nil {
		return template.Value{}, err
	}
	for _, o := range objects {
		if o.Node == nil || o.Kind != document.Object {
			return template.Value{}, errors.New("intersection() takes arrays, or objects, alone")
		}
		if all, err = sameIn(all, o); err != nil {
			return template.Value{}, err
		}
	}
	return s.MakeObject(at, all)
}

// sameIn returns the members that an object has with the same value.
func sameIn(all []template.Field, o template.Value) ([]template.Field, error) {
	var kept []template.Field
	for _, m := range all {
		other := o.Get(m.Key)
		if other.Node == nil {
			continue
		}
		yes, err := template.Same(m.Value, other)
		if err != nil {
			return nil, err
		}
		if yes {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// itemsOf returns an array of an object's members, each with key and value, sorted by name.
func itemsOf(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	members, err := sorted(args[0])
	if err != nil {
		return template.Value{}, err
	}
	all := make([]template.Value, len(members))
	for i, m := range members {
		key, err := s.Make(at, document.Text, m.Key)
		if err != nil {
			return template.Value{}, err
		}
		if all[i], err = s.MakeObject(at, []template.Field{{Key: "key", Value: key}, {Key: "value", Value: m.Value}}); err != nil {
			return template.Value{}, err
		}
	}
	return s.MakeArray(at, all)
}

func keysOf(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	members, err := sorted(args[0])
	if err != nil {
		return template.Value{}, err
	}
	all := make([]template.Value, len(members))
	for i, m := range members {
		if all[i], err = s.Make(at, document.Text, m.Key); err != nil {
			return template.Value{}, err
		}
	}
	return s.MakeArray(at, all)
}

func sorted(v template.Value) ([]template.Field, error) {
	if v.Node == nil || v.Kind != document.Object {
		return nil, errors.New("an object is needed, and something else is there")
	}
	members, err := v.Members()
	slices.SortStableFunc(members, func(a, b template.Field) int { return cmp.Compare(arm.Fold(a.Key), arm.Fold(b.Key)) })
	return members, err
}

// tryGet returns a member or an item, found step by step; null if it does not exist.
func tryGet(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	v := args[0]
	for _, step := range args[1:] {
		if !v.There() {
			break
		}
		if v.IsArray() {
			i, err := step.Integer()
			if err != nil {
				return template.Value{}, err
			}
			v = v.Item(i)
		} else {
			names, err := KnownWords([]template.Value{step})
			if err != nil {
				return template.Value{}, err
			}
			v = v.Get(names[0])
		}
		var err error
		if v, err = v.Resolve(); err != nil {
			return template.Value{}, fmt.Errorf("a member that tryGet() takes: %w", err)
		}
	}
	if v.Node == nil {
		return s.Make(at, document.Null, "")
	}
	return v, nil
}
