package aosm

import "strconv"

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

// named is the innermost loop of a name. Without a name it is the innermost of a resource, or else the innermost.
func (l *loop) named(name string) *loop {
	for o := l; o != nil; o = o.outer {
		if name == "" && o.resource || name != "" && fold(o.name) == fold(name) {
			return o
		}
	}
	if name == "" {
		return l
	}
	return nil
}

// variable is the innermost variable of a lambda by its name, in any case.
func (s *scope) variable(name string) (value, bool) {
	for b := s.bound; b != nil; b = b.outer {
		if fold(b.name) == fold(name) {
			return b.value, true
		}
	}
	return value{}, false
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
	v.indexed(places)
	return v, err
}

// number makes a number in the place of a node.
func (s *scope) number(at *node, n int) (value, error) { return s.make(at, number, strconv.Itoa(n)) }

// texts makes an object of texts. What else the object has at a deployment is not there.
func (s *scope) texts(at *node, pairs ...string) (value, error) {
	var all []field
	for i := 0; i < len(pairs); i += 2 {
		v, err := s.make(at, text, pairs[i+1])
		if err != nil {
			return value{}, err
		}
		all = append(all, field{pairs[i], v})
	}
	return s.makeObject(at, all)
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
