package document

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
)

// Kind is the JSON type of a value.
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

// Judgement is how far the importer has dealt with a node.
type Judgement byte

// The judgements.
const (
	// Unread: the importer has not read the node. A node that stays unread is reported as not mapped.
	Unread Judgement = iota
	// Opened: the node was read; each of its members is judged separately.
	Opened
	// Closed: the node was dealt with as a whole.
	Closed
)

// Node is one value of a JSON document. A node made by an expression has the position of the expression.
type Node struct {
	Kind  Kind
	State Judgement
	// Twin is set for a member if another member has the same name in another case.
	Twin   bool
	Text   string           // of a text, a number or a boolean
	Items  []*Node          // of an array or an object, in order
	folded map[string]*Node // of a large object, its members by folded name

	Parent *Node
	Key    string // in an object; for a document, its name
	Index  int    // in an array
	// Scope, unless nil, is the scope in which the evaluator resolves the expressions of
	// a node that an expression made from several places. This package does not use it.
	Scope any
	// Origin, unless nil, is the node that this node is a copy of.
	Origin *Node
}

// manyMembers is the number of members above which an object has an index.
const manyMembers = 8

// Member returns the member of an object by its name in any case; nil if none exists.
func (n *Node) Member(name string) *Node {
	if n == nil || n.Kind != Object {
		return nil
	}
	name = arm.Fold(name)
	if n.folded != nil {
		return n.folded[name]
	}
	for _, m := range n.Items {
		if len(m.Key) > 4*len(name) { // no other case of a name is that much longer, and folding costs time
			continue
		}
		if arm.Fold(m.Key) == name {
			return m
		}
	}
	return nil
}

// Indexed indexes the members of a large object, given their positions by folded name.
func (n *Node) Indexed(places map[string]int) {
	if len(n.Items) <= manyMembers {
		return
	}
	n.folded = make(map[string]*Node, len(places))
	for name, i := range places {
		n.folded[name] = n.Items[i]
	}
}

// Open marks a node as read.
func (n *Node) Open() {
	if n != nil && n.State == Unread {
		n.State = Opened
	}
}

// Close marks a node and its origin as dealt with, including everything in them.
func (n *Node) Close() {
	if n != nil {
		n.State = Closed
		n.Origin.Close()
	}
}

// Original returns the node that a copy was made of, or the node itself.
func (n *Node) Original() *Node {
	if n.Origin != nil {
		return n.Origin
	}
	return n
}

var plainKey = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// Path returns the JSON path of a node, such as $.resources[0].name. Long keys are clipped:
// every finding and message contains a path, and a key can be as long as the input.
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
