package document

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
)

// Kind is what a value is in JSON.
type Kind byte

// The kinds of values.
const (
	Null Kind = iota
	Boolean
	Number
	Text
	Array
	Object
)

// Judgement says what became of a node of the input.
type Judgement byte

// What can have become of a node.
const (
	// Unread: nothing has looked at it. What stays so is reported as not mapped.
	Unread Judgement = iota
	// Opened: looked at; each of its members is judged on its own.
	Opened
	// Closed: dealt with as a whole.
	Closed
)

// Node is one value of a JSON document. One that an expression made has the place of that expression.
type Node struct {
	Kind  Kind
	State Judgement
	// Twin is true for a member whose name another member has in another case.
	Twin   bool
	Text   string           // of a text, a number or a boolean
	Items  []*Node          // of an array or an object, in order
	folded map[string]*Node // of a large object, its members by folded name

	Parent *Node
	Key    string // in an object; of a document, its own name
	Index  int    // in an array
	// Scope, when not nil, is what the expressions in it name, of what an expression made of several places. It is
	// theirs who evaluate: a document knows nothing of it.
	Scope any
	// Origin, when not nil, is the node that this one is a copy of.
	Origin *Node
}

// manyMembers is how many members of an object are searched one by one.
const manyMembers = 8

// Member returns the member of an object by its name in any case; nil for none.
func (n *Node) Member(name string) *Node {
	if n == nil || n.Kind != Object {
		return nil
	}
	name = arm.Fold(name)
	if n.folded != nil {
		return n.folded[name]
	}
	for _, m := range n.Items {
		if len(m.Key) > 4*len(name) { // no other case of a name is so much longer, and folding it costs time
			continue
		}
		if arm.Fold(m.Key) == name {
			return m
		}
	}
	return nil
}

// Indexed keeps where the members of a large object are, by folded name.
func (n *Node) Indexed(places map[string]int) {
	if len(n.Items) <= manyMembers {
		return
	}
	n.folded = make(map[string]*Node, len(places))
	for name, i := range places {
		n.folded[name] = n.Items[i]
	}
}

// Open marks a node as looked at.
func (n *Node) Open() {
	if n != nil && n.State == Unread {
		n.State = Opened
	}
}

// Close marks a node as dealt with, whatever is in it.
func (n *Node) Close() {
	if n != nil {
		n.State = Closed
		n.Origin.Close()
	}
}

// Original is the node that a copy was made of, or the node itself.
func (n *Node) Original() *Node {
	if n.Origin != nil {
		return n.Origin
	}
	return n
}

var plainKey = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// Path is the JSON path of a node, such as $.resources[0].name, with long keys clipped: each finding and each message has
// one of its own, and a key can be as long as the input.
func (n *Node) Path() string {
	var parts []string
	for ; n.Parent != nil; n = n.Parent {
		key := arm.Clip(n.Key)
		switch {
		case n.Parent.Kind == Array:
			parts = append(parts, fmt.Sprintf("[%d]", n.Index))
		case plainKey.MatchString(key):
			parts = append(parts, "."+key)
		default:
			parts = append(parts, fmt.Sprintf("[%q]", key))
		}
	}
	var b strings.Builder
	b.WriteString(n.Key)
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
	}
	return b.String()
}
