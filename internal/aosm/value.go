package aosm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// The bounds of what a template's expressions make.
const (
	maxSteps = 8_000_000 // terms evaluated, values looked at and 64 bytes of text read, in one import
	maxMade  = 64 << 20  // bytes of text and of items made in one import
	maxChain = 200       // parameters and variables that refer to others in turn
	maxLoop  = 800       // turns of one loop, which is ARM's own bound
)

// session is what one import has used of its bounds, and what became of its expressions.
type session struct {
	steps, made, chain int
	// became has, by the node of an expression, the arrays and objects that it turned out to be.
	became map[*node][]*node
	// fatal is the first thing that makes the input unusable.
	fatal error
}

func (s *session) spend(steps, made int) error {
	s.steps += steps
	s.made += made
	if s.steps > maxSteps || s.made > maxMade {
		return fmt.Errorf("%w: its expressions expand beyond %d steps or %d bytes", ErrInput, maxSteps, maxMade)
	}
	return nil
}

// fail keeps the first error that makes the input unusable, and reports whether err is one.
func (s *session) fail(err error) bool {
	if !errors.Is(err, ErrInput) {
		return false
	}
	if s.fatal == nil {
		s.fatal = err
	}
	return true
}

// scope is where a value's expressions look up what they name.
type scope struct {
	*session
	template *template // nil where no text is an expression
	loop     *loop
}

// loop is one turn of a copy loop.
type loop struct {
	name  string
	index int
	outer *loop
}

// turn is the scope of one turn of a loop.
func (s *scope) turn(name string, index int) *scope {
	return &scope{session: s.session, template: s.template, loop: &loop{name, index, s.loop}}
}

// value is a node as its scope makes it: an expression in it is evaluated when it is looked at. The
// zero value is absent.
type value struct {
	*node
	scope *scope
	// list, when not nil, are the items of an array that an expression or a loop made.
	list []value
}

// there reports whether there is a value; null is none.
func (v value) there() bool { return v.node != nil && v.kind != null }

// get returns a member of an object, opening both.
func (v value) get(name string) value {
	v.open()
	if m := v.member(name); m != nil {
		if m.twin {
			v.scope.fail(fmt.Errorf("%w: %s and another member differ in case only, which is the same name here", ErrInput, m.path()))
		}
		m.open()
		return value{node: m, scope: v.scope}
	}
	if v.node == nil || v.kind != object || v.scope.template == nil {
		return value{}
	}
	for _, c := range (value{node: v.member("copy"), scope: v.scope}).items() {
		if n, err := c.get("name").resolve(); err == nil && n.node != nil && fold(n.text) == fold(name) {
			v.member("copy").open()
			return c.loop(name)
		}
	}
	return value{}
}

// loop is the array that an entry of an object's copy makes. Where it cannot be made, it is the entry
// itself, which is no array.
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
	all := value{node: &node{kind: array, parent: v.parent, index: v.index, state: opened}, scope: v.scope, list: []value{}}
	for i := range count {
		all.list = append(all.list, value{node: input.node, scope: v.scope.turn(name, i)})
	}
	return all
}

// count is how many turns a loop has.
func (v value) count() (int, error) {
	c, err := v.get("count").resolve()
	if err != nil {
		return 0, err
	}
	if c.node == nil || c.kind != number {
		return 0, errors.New("the loop's count is no number")
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
	v.scope.steps += v.size() // the next to spend is told
	if v.list != nil {
		return slices.Clone(v.list)
	}
	all := make([]value, 0, len(v.node.items))
	for _, n := range v.node.items {
		n.open()
		all = append(all, value{node: n, scope: v.scope})
	}
	return all
}

// size is how many items an array has, or members an object.
func (v value) size() int {
	if v.list != nil {
		return len(v.list)
	}
	return len(v.node.items)
}

// item returns an item of an array; the zero value where there is none.
func (v value) item(i int) value {
	switch {
	case v.node == nil || v.kind != array || i < 0 || i >= v.size():
		return value{}
	case v.list != nil:
		return v.list[i]
	}
	n := v.node.items[i]
	v.open()
	n.open()
	return value{node: n, scope: v.scope}
}

// resolve evaluates a value that is an expression. What lies in an array or object is evaluated when
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
	if s.chain++; s.chain > maxChain {
		return value{}, fmt.Errorf("it refers to more than %d others in turn", maxChain)
	}
	defer func() { s.chain-- }()
	if err := s.spend(1+len(source)/100, 0); err != nil {
		return value{}, err
	}
	t, err := parseExpression(source)
	if err != nil {
		return value{}, err
	}
	out, err := s.eval(t, v.node)
	if err == nil && out.node != nil && (out.kind == array || out.kind == object) {
		s.became[v.node] = append(s.became[v.node], out.node)
		for _, item := range out.list {
			s.became[v.node] = append(s.became[v.node], item.node)
		}
	}
	return out, err
}

// make makes a value in the place of a node. Nothing in it is an expression.
func (s *scope) make(at *node, k kind, content string) (value, error) {
	n := &node{kind: k, text: content, parent: at.parent, key: at.key, index: at.index, state: opened}
	return value{node: n, scope: &scope{session: s.session}}, s.spend(1, len(content))
}

// makeArray makes an array of values.
func (s *scope) makeArray(at *node, items []value) (value, error) {
	v, err := s.make(at, array, "")
	v.list = append([]value{}, items...)
	return v, errors.Join(err, s.spend(len(items), 100*len(items)))
}
