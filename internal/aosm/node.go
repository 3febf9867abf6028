package aosm

import (
	"fmt"
	"regexp"
	"strings"
)

// kind is what a value is in JSON.
type kind byte

// The kinds of values.
const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

// judgement says what became of a node of the input.
type judgement byte

// What can have become of a node.
const (
	// unread: nothing has looked at it. What stays so is reported as not mapped.
	unread judgement = iota
	// opened: looked at; each of its members is judged on its own.
	opened
	// closed: dealt with as a whole.
	closed
)

// node is one value of a JSON document. One that an expression made has the place of that expression.
type node struct {
	kind  kind
	state judgement
	// twin is true for a member whose name another member has in another case.
	twin   bool
	text   string           // of a text, a number or a boolean
	items  []*node          // of an array or an object, in order
	folded map[string]*node // of a large object, its members by folded name

	parent *node
	key    string // in an object; of a document, its own name
	index  int    // in an array
	// scope, when not nil, is what the expressions in it name, of what an expression made of several places. It is
	// theirs who evaluate: a document knows nothing of it.
	scope any
	// origin, when not nil, is the node that this one is a copy of.
	origin *node
}

// manyMembers is how many members of an object are searched one by one.
const manyMembers = 8

// member returns the member of an object by its name in any case; nil for none.
func (n *node) member(name string) *node {
	if n == nil || n.kind != object {
		return nil
	}
	name = fold(name)
	if n.folded != nil {
		return n.folded[name]
	}
	for _, m := range n.items {
		if len(m.key) > 4*len(name) { // no other case of a name is so much longer, and folding it costs time
			continue
		}
		if fold(m.key) == name {
			return m
		}
	}
	return nil
}

// indexed keeps where the members of a large object are, by folded name.
func (n *node) indexed(places map[string]int) {
	if len(n.items) <= manyMembers {
		return
	}
	n.folded = make(map[string]*node, len(places))
	for name, i := range places {
		n.folded[name] = n.items[i]
	}
}

// open marks a node as looked at.
func (n *node) open() {
	if n != nil && n.state == unread {
		n.state = opened
	}
}

// close marks a node as dealt with, whatever is in it.
func (n *node) close() {
	if n != nil {
		n.state = closed
		n.origin.close()
	}
}

// original is the node that a copy was made of, or the node itself.
func (n *node) original() *node {
	if n.origin != nil {
		return n.origin
	}
	return n
}

var plainKey = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// path is the JSON path of a node, such as $.resources[0].name.
func (n *node) path() string {
	var parts []string
	for ; n.parent != nil; n = n.parent {
		switch {
		case n.parent.kind == array:
			parts = append(parts, fmt.Sprintf("[%d]", n.index))
		case plainKey.MatchString(n.key):
			parts = append(parts, "."+n.key)
		default:
			parts = append(parts, fmt.Sprintf("[%q]", n.key))
		}
	}
	var b strings.Builder
	b.WriteString(n.key)
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
	}
	return b.String()
}
