package template

import (
	"strconv"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// Scope is where the expressions of a value look up names.
type Scope struct {
	*Session
	Template *Template // nil if texts are not expressions
	Loop     *Loop
	bound    *binding
}

// Loop is one iteration of a copy loop.
type Loop struct {
	Name  string
	Index int
	// Resource is set for the loop of a resource, not of a property, variable or output.
	Resource bool
	outer    *Loop
}

// binding is one variable of a lambda.
type binding struct {
	name  string
	value Value
	outer *binding
}

// Turn returns the scope of one iteration of a loop.
func (s *Scope) Turn(l Loop) *Scope {
	c := *s
	l.outer = s.Loop
	c.Loop = &l
	return &c
}

// Bind returns the scope with a variable of a lambda.
func (s *Scope) Bind(name string, v Value) *Scope {
	c := *s
	c.bound = &binding{name, v, s.bound}
	return &c
}

// Named returns the innermost loop with a name. Without a name it
// returns the innermost loop of a resource, or else the innermost loop.
func (l *Loop) Named(name string) *Loop {
	for o := l; o != nil; o = o.outer {
		if name == "" && o.Resource || name != "" && arm.Fold(o.Name) == arm.Fold(name) {
			return o
		}
	}
	if name == "" {
		return l
	}
	return nil
}

// Variable returns the innermost variable of a lambda with a name, in any case.
func (s *Scope) Variable(name string) (Value, bool) {
	for b := s.bound; b != nil; b = b.outer {
		if arm.Fold(b.name) == arm.Fold(name) {
			return b.value, true
		}
	}
	return Value{}, false
}

// Make makes a value at the position of a node. Nothing in the value is an expression.
func (s *Scope) Make(at *document.Node, k document.Kind, content string) (Value, error) {
	n := &document.Node{Kind: k, Text: content, Parent: at.Parent, Key: at.Key, Index: at.Index, State: document.Opened}
	return Value{Node: n, Scope: &Scope{Session: s.Session}}, s.Spend(1, len(content))
}

// MakeArray makes an array of values.
func (s *Scope) MakeArray(at *document.Node, items []Value) (Value, error) {
	if err := s.Spend(len(items), 100*len(items)); err != nil { // before it is made
		return Value{}, err
	}
	v, err := s.Make(at, document.Array, "")
	for i, item := range items {
		v.Node.Items = append(v.Node.Items, s.place(item, v.Node, "", i))
	}
	return v, err
}

// MakeObject makes an object of members. Of members with the same name the last one is used.
func (s *Scope) MakeObject(at *document.Node, members []Field) (Value, error) {
	if err := s.Spend(len(members), 200*len(members)); err != nil { // before it is made
		return Value{}, err
	}
	v, err := s.Make(at, document.Object, "")
	places := make(map[string]int, len(members))
	for _, m := range members {
		n := s.place(m.Value, v.Node, m.Key, 0)
		if i, again := places[arm.Fold(m.Key)]; again {
			v.Node.Items[i] = n
			continue
		}
		places[arm.Fold(m.Key)] = len(v.Node.Items)
		v.Node.Items = append(v.Node.Items, n)
	}
	v.Indexed(places)
	return v, err
}

// Number makes a number at the position of a node.
func (s *Scope) Number(at *document.Node, n int) (Value, error) {
	return s.Make(at, document.Number, strconv.Itoa(n))
}

// Texts makes an object of texts. It lacks the other members that the object has at a deployment.
func (s *Scope) Texts(at *document.Node, pairs ...string) (Value, error) {
	var all []Field
	for i := 0; i < len(pairs); i += 2 {
		v, err := s.Make(at, document.Text, pairs[i+1])
		if err != nil {
			return Value{}, err
		}
		all = append(all, Field{pairs[i], v})
	}
	return s.MakeObject(at, all)
}

// place returns a copy of a value's node, in the value's scope, as a part of a value that an expression makes.
func (s *Scope) place(v Value, parent *document.Node, key string, index int) *document.Node {
	n := &document.Node{Kind: document.Null, Scope: &Scope{Session: s.Session}}
	if v.Node != nil {
		c := *v.Node
		n = &c
		n.Scope, n.Origin = v.Scope, v.Original()
	}
	n.Parent, n.Key, n.Index, n.State, n.Twin = parent, key, index, document.Unread, false
	return n
}
