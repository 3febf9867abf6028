package template

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// Value is a node in a scope: an expression in it is evaluated when it is used. The zero Value is absent.
type Value struct {
	*document.Node
	Scope *Scope
}

// There reports whether a value exists and is not null.
func (v Value) There() bool { return v.Node != nil && v.Kind != document.Null }

// Of returns a node within a value as a value. A node that an expression made from several places has its own scope.
func (v Value) Of(n *document.Node) Value {
	if s, ok := n.Scope.(*Scope); ok && s != nil {
		return Value{Node: n, Scope: s}
	}
	return Value{Node: n, Scope: v.Scope}
}

// Get returns a member of an object, and opens both.
func (v Value) Get(name string) Value {
	v.Open()
	if m := v.Member(name); m != nil {
		if m.Twin {
			v.Scope.Fail(fmt.Errorf("%w: %s and another member differ in case only, which is the same name here", document.ErrInput, m.Path()))
		}
		m.Open()
		return v.Of(m)
	}
	for _, c := range v.copies() {
		if n, err := c.Get("name").Resolve(); err == nil && n.Node != nil && arm.Fold(n.Text) == arm.Fold(name) {
			v.Member("copy").Open()
			return c.loop(name)
		}
	}
	return Value{}
}

// copies returns the entries of an object's copy member, each of which makes a member.
func (v Value) copies() []Value {
	if v.Node == nil || v.Kind != document.Object || v.Scope.Template == nil {
		return nil
	}
	m := v.Member("copy")
	if m == nil {
		return nil
	}
	return v.Of(m).Items()
}

// Field is one member of an object.
type Field struct {
	Key   string
	Value Value
}

// Members returns the members of an object in order, with those that its copy makes. It opens none.
func (v Value) Members() ([]Field, error) {
	if v.Node == nil || v.Kind != document.Object {
		return nil, nil
	}
	var all []Field
	copies := v.copies()
	for _, m := range v.Node.Items {
		if len(copies) > 0 && arm.Fold(m.Key) == "copy" {
			continue
		}
		all = append(all, Field{m.Key, v.Of(m)})
	}
	for _, c := range copies {
		n, err := c.Get("name").Resolve()
		if err != nil || n.AsText() == "" {
			return nil, errors.Join(errors.New("the name of a loop cannot be decided"), err)
		}
		all = append(all, Field{n.Text, c.loop(n.Text)})
	}
	return all, v.Scope.Spend(len(all), 0)
}

// loop returns the array that an entry of an object's copy makes. If the
// array cannot be made, it returns the entry itself, which is not an array.
func (v Value) loop(name string) Value {
	count, err := v.Count()
	if err != nil {
		v.Scope.Fail(err)
		return v
	}
	input := v.Get("input")
	if input.Node == nil {
		return v
	}
	all := make([]Value, count)
	for i := range all {
		all[i] = Value{Node: input.Node, Scope: v.Scope.Turn(Loop{Name: name, Index: i})}
	}
	out, err := v.Scope.MakeArray(&document.Node{Parent: v.Parent, Index: v.Index, Key: v.Key}, all)
	if v.Scope.Fail(err) {
		return v
	}
	return out
}

// Count returns the number of iterations of a loop.
func (v Value) Count() (int, error) {
	c, err := v.Get("count").Resolve()
	if err != nil {
		return 0, err
	}
	if c.Node == nil || c.Kind != document.Number {
		return 0, errors.New("the loop's count is not a number")
	}
	n, err := strconv.Atoi(c.Text)
	if err != nil || n < 0 || n > maxLoop {
		return 0, fmt.Errorf("the loop's count is not from 0 to %d", maxLoop)
	}
	return n, v.Scope.Spend(n, n*100)
}

// Items returns the items of an array; nil for any other value.
func (v Value) Items() []Value {
	if v.Node == nil || v.Kind != document.Array {
		return nil
	}
	v.Open()
	v.Scope.steps += v.Size() // checked by the next call of Spend
	all := make([]Value, 0, len(v.Node.Items))
	for _, n := range v.Node.Items {
		n.Open()
		all = append(all, v.Of(n))
	}
	return all
}

// Size returns the number of items of an array, or members of an object.
func (v Value) Size() int { return len(v.Node.Items) }

// Item returns an item of an array; the zero Value if it does not exist.
func (v Value) Item(i int) Value {
	if v.Node == nil || v.Kind != document.Array || i < 0 || i >= v.Size() {
		return Value{}
	}
	n := v.Node.Items[i]
	v.Open()
	n.Open()
	return v.Of(n)
}

// Resolve evaluates a value that is an expression. Values in an array or object are evaluated when they are used.
func (v Value) Resolve() (Value, error) {
	if v.Node == nil || v.Kind != document.Text || v.Scope.Template == nil {
		return v, nil
	}
	source, literal, ok := expressionOf(v.Text)
	if !ok {
		if literal == v.Text {
			return v, nil
		}
		return v.Scope.Make(v.Node, document.Text, literal)
	}
	s := v.Scope
	if out, again := s.resolved[v]; again {
		return out, s.Spend(1, 0)
	}
	done, err := s.Deeper()
	if err != nil {
		return Value{}, err
	}
	defer done()
	if err := s.Spend(1+len(source)/100, 0); err != nil {
		return Value{}, err
	}
	out, err := s.evaluate(s, source, v.Node)
	if err == nil && out.Node != nil && (out.Kind == document.Array || out.Kind == document.Object) {
		from := v.Original()
		s.became[from] = append(s.became[from], out.Node)
		s.resolved[v] = out
		err = s.Spend(0, 100)
	}
	return out, err
}

// expressionOf returns the expression in a text of a template. ok is false if the text
// is not an expression; then literal is the text, in which ARM writes a first [ as [[.
func expressionOf(s string) (expression, literal string, ok bool) {
	switch {
	case !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]"):
		return "", s, false
	case strings.HasPrefix(s, "[["):
		return "", s[1:], false
	}
	return s[1 : len(s)-1], "", true
}
