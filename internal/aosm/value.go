package aosm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// value is a node as its scope makes it: an expression in it is evaluated when it is looked at. The
// zero value is absent.
type value struct {
	*node
	scope *scope
}

// there reports whether there is a value; null is not one.
func (v value) there() bool { return v.node != nil && v.kind != null }

// of is a node in a value as a value: what an expression made of several places has a scope of its own.
func (v value) of(n *node) value {
	if s, ok := n.scope.(*scope); ok && s != nil {
		return value{node: n, scope: s}
	}
	return value{node: n, scope: v.scope}
}

// get returns a member of an object, opening both.
func (v value) get(name string) value {
	v.open()
	if m := v.member(name); m != nil {
		if m.twin {
			v.scope.fail(fmt.Errorf("%w: %s and another member differ in case only, which is the same name here", ErrInput, m.path()))
		}
		m.open()
		return v.of(m)
	}
	for _, c := range v.copies() {
		if n, err := c.get("name").resolve(); err == nil && n.node != nil && fold(n.text) == fold(name) {
			v.member("copy").open()
			return c.loop(name)
		}
	}
	return value{}
}

// copies are the entries of an object's copy, each of which makes a member.
func (v value) copies() []value {
	if v.node == nil || v.kind != object || v.scope.template == nil {
		return nil
	}
	m := v.member("copy")
	if m == nil {
		return nil
	}
	return v.of(m).items()
}

// field is one member of an object.
type field struct {
	key   string
	value value
}

// members are the members of an object in order, with those that its copy makes. None is opened.
func (v value) members() ([]field, error) {
	if v.node == nil || v.kind != object {
		return nil, nil
	}
	var all []field
	copies := v.copies()
	for _, m := range v.node.items {
		if len(copies) > 0 && fold(m.key) == "copy" {
			continue
		}
		all = append(all, field{m.key, v.of(m)})
	}
	for _, c := range copies {
		n, err := c.get("name").resolve()
		if err != nil || n.text1() == "" {
			return nil, errors.Join(errors.New("the name of a loop cannot be decided"), err)
		}
		all = append(all, field{n.text, c.loop(n.text)})
	}
	return all, v.scope.spend(len(all), 0)
}

// loop is the array that an entry of an object's copy makes. Where it cannot be made, it is the entry
// itself, which is not an array.
func (v value) loop(name string) value {
	count, err := v.count()
	if err != nil {
		v.scope.fail(err)
		return v
	}
	input := v.get("input")
	if input.node == nil {
		return v
	}
	all := make([]value, count)
	for i := range all {
		all[i] = value{node: input.node, scope: v.scope.turn(loop{name: name, index: i})}
	}
	out, err := v.scope.makeArray(&node{parent: v.parent, index: v.index, key: v.key}, all)
	if v.scope.fail(err) {
		return v
	}
	return out
}

// count is how many turns a loop has.
func (v value) count() (int, error) {
	c, err := v.get("count").resolve()
	if err != nil {
		return 0, err
	}
	if c.node == nil || c.kind != number {
		return 0, errors.New("the loop's count is not a number")
	}
	n, err := strconv.Atoi(c.text)
	if err != nil || n < 0 || n > maxLoop {
		return 0, fmt.Errorf("the loop's count is not from 0 to %d", maxLoop)
	}
	return n, v.scope.spend(n, n*100)
}

// items returns the items of an array; nil of anything else.
func (v value) items() []value {
	if v.node == nil || v.kind != array {
		return nil
	}
	v.open()
	v.scope.steps += v.size() // the next to spend finds out
	all := make([]value, 0, len(v.node.items))
	for _, n := range v.node.items {
		n.open()
		all = append(all, v.of(n))
	}
	return all
}

// size is how many items an array has, or members an object.
func (v value) size() int { return len(v.node.items) }

// item returns an item of an array; the zero value where there is none.
func (v value) item(i int) value {
	if v.node == nil || v.kind != array || i < 0 || i >= v.size() {
		return value{}
	}
	n := v.node.items[i]
	v.open()
	n.open()
	return v.of(n)
}

// resolve evaluates a value that is an expression. What is in an array or object is evaluated when
// it is looked at in its turn.
func (v value) resolve() (value, error) {
	if v.node == nil || v.kind != text || v.scope.template == nil {
		return v, nil
	}
	source, literal, ok := expressionOf(v.text)
	if !ok {
		if literal == v.text {
			return v, nil
		}
		return v.scope.make(v.node, text, literal)
	}
	s := v.scope
	if out, again := s.resolved[v]; again {
		return out, s.spend(1, 0)
	}
	done, err := s.deeper()
	if err != nil {
		return value{}, err
	}
	defer done()
	if err := s.spend(1+len(source)/100, 0); err != nil {
		return value{}, err
	}
	out, err := s.evaluate(s, source, v.node)
	if err == nil && out.node != nil && (out.kind == array || out.kind == object) {
		from := v.original()
		s.became[from] = append(s.became[from], out.node)
		s.resolved[v] = out
		err = s.spend(0, 100)
	}
	return out, err
}

// expressionOf returns the expression that a text of a template is; ok is false when the text means
// itself, which is then in literal. ARM writes a literal [ at the beginning as [[.
func expressionOf(s string) (expression, literal string, ok bool) {
	switch {
	case !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]"):
		return "", s, false
	case strings.HasPrefix(s, "[["):
		return "", s[1:], false
	}
	return s[1 : len(s)-1], "", true
}
