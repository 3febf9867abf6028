package aosm

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// mentions are the definitions that values name.
type mentions struct {
	// ids are whole ids of definitions, each once.
	ids  []resourceID
	seen map[string]bool
	// path and name say of the first text that is meant as a whole id, and of the first that only seems to
	// name a definition, why they are none.
	path, name error
}

// unread says why something that names a definition cannot be read; a name alone matters where no whole id is.
func (m *mentions) unread() error {
	if m.path != nil || len(m.ids) > 0 {
		return m.path
	}
	return m.name
}

var (
	// mention is what a member that names a definition is called, or contains.
	mention = regexp.MustCompile(`(?i)networkfunctiondefinition|nfdv|nfd_?version|nfdg|nfd_?group`)
	// path is what a text that is meant as a whole id contains.
	path = regexp.MustCompile(`(?i)/networkfunctiondefinition`)
)

// maxTexts is how deep JSON is read that lies as a text in JSON.
const maxTexts = 4

// scan reads a text of JSON, or of members alone as in some public examples.
func (m *mentions) scan(s string) {
	documents, err := parse([]byte(s))
	if err != nil || (len(documents) > 1 && documents[0].kind == text) {
		documents, err = parse([]byte("{" + s + "}"))
	}
	if err != nil {
		m.doubt(s, errors.New("the values are no JSON"))
		return
	}
	for _, d := range documents {
		m.walk(d, 0)
	}
}

// doubt notes a text, or the name of a member, that cannot be read.
func (m *mentions) doubt(s string, err error) {
	if into := &m.name; mention.MatchString(s) {
		if path.MatchString(s) {
			into = &m.path
		}
		*into = cmp.Or(*into, err)
	}
}

// walk finds the ids among the texts of a node, and returns whether there is one.
func (m *mentions) walk(n *node, depth int) bool {
	if n.kind == text {
		return m.read(n.text, depth)
	}
	found := false
	for _, c := range n.items {
		if m.walk(c, depth) {
			found = true
		}
	}
	for _, c := range n.items {
		if n.kind == object && !found && c.kind != null && (c.kind != text || c.text != "") {
			m.doubt(c.key, fmt.Errorf("the value of %q: %w", clip(c.key), noID(c)))
		}
	}
	return found
}

// read reads one text, which can be an id, or JSON in its turn.
func (m *mentions) read(s string, depth int) bool {
	if inner := strings.TrimSpace(s); depth < maxTexts && (strings.HasPrefix(inner, "{") || strings.HasPrefix(inner, "[")) {
		if documents, err := parse([]byte(s)); err == nil && len(documents) == 1 {
			return m.walk(documents[0], depth+1)
		}
	}
	id, err := parseID(s)
	switch {
	case err == nil && id.typ() == typeDefinition:
		if m.seen == nil {
			m.seen = map[string]bool{}
		}
		if !m.seen[id.key()] {
			m.seen[id.key()] = true
			m.ids = append(m.ids, id)
		}
		return true
	case err == nil:
		m.doubt(s, fmt.Errorf("%q is not a definition version", clip(s)))
	case !strings.HasPrefix(s, "/"):
		m.doubt(s, fmt.Errorf("%q: %w", clip(s), noID(&node{kind: text, text: s})))
	default:
		m.doubt(s, err)
	}
	return false
}

// noID says why a value is not a whole id.
func noID(n *node) error {
	if n.kind == text && placeholders.MatchString(n.text) {
		return errFilledIn
	}
	return errors.New("it is not a whole id")
}
