package aosm

import (
	"errors"
	"fmt"
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
	// resolved has the arrays and objects that expressions turned out to be, so that each is made once.
	resolved map[value]value
	// unknowns are the characters that stand for results of functions that only a deployment can call.
	unknowns map[string]rune
	// fatal is the first thing that makes the input unusable.
	fatal error
}

func newSession() *session {
	return &session{became: map[*node][]*node{}, resolved: map[value]value{}}
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

// deeper counts one level of values that refer to others. The caller calls the function that it returns
// when it is done.
func (s *session) deeper() (func(), error) {
	if s.chain++; s.chain > maxChain {
		s.chain--
		return func() {}, fmt.Errorf("it refers to more than %d others in turn", maxChain)
	}
	return func() { s.chain-- }, nil
}

// scope is where a value's expressions look up what they name.
type scope struct {
	*session
	template *template // nil where no text is an expression
	loop     *loop
	bound    *binding
}

// loop is one turn of a copy loop.
type loop struct {
	name  string
	index int
	// resource is true for the loop of a resource, not of a property, variable or output.
	resource bool
	outer    *loop
}

// binding is one variable of a lambda.
type binding struct {
	name  string
	value value
	outer *binding
}

// turn is the scope of one turn of a loop.
func (s *scope) turn(l loop) *scope {
	c := *s
	l.outer = s.loop
	c.loop = &l
	return &c
}

// bind is the scope with a variable of a lambda.
func (s *scope) bind(name string, v value) *scope {
	c := *s
	c.bound = &binding{name, v, s.bound}
	return &c
}

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
	if n.scope != nil {
		return value{node: n, scope: n.scope}
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
	t, err := parseExpression(source)
	if err != nil {
		return value{}, err
	}
	out, err := s.eval(t, v.node)
	if err == nil && out.node != nil && (out.kind == array || out.kind == object) {
		from := v.original()
		s.became[from] = append(s.became[from], out.node)
		s.resolved[v] = out
		err = s.spend(0, 100)
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
	if err := s.spend(len(items), 100*len(items)); err != nil { // before it is made
		return value{}, err
	}
	v, err := s.make(at, array, "")
	for i, item := range items {
		v.node.items = append(v.node.items, s.place(item, v.node, "", i))
	}
	return v, err
}

// makeObject makes an object of members. Of those of the same name the last one counts.
func (s *scope) makeObject(at *node, members []field) (value, error) {
	if err := s.spend(len(members), 200*len(members)); err != nil { // before it is made
		return value{}, err
	}
	v, err := s.make(at, object, "")
	places := make(map[string]int, len(members))
	for _, m := range members {
		n := s.place(m.value, v.node, m.key, 0)
		if i, again := places[fold(m.key)]; again {
			v.node.items[i] = n
			continue
		}
		places[fold(m.key)] = len(v.node.items)
		v.node.items = append(v.node.items, n)
	}
	if len(v.node.items) > manyMembers {
		v.folded = make(map[string]*node, len(places))
		for name, i := range places {
			v.folded[name] = v.node.items[i]
		}
	}
	return v, err
}

// place is a copy of a value's node in something that an expression makes. It keeps its scope.
func (s *scope) place(v value, parent *node, key string, index int) *node {
	n := &node{kind: null, scope: &scope{session: s.session}}
	if v.node != nil {
		c := *v.node
		n = &c
		n.scope, n.origin = v.scope, v.original()
	}
	n.parent, n.key, n.index, n.state, n.twin = parent, key, index, unread, false
	return n
}
