package mention

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// Mentions are the definitions that values refer to.
type Mentions struct {
	// IDs are whole ids of definitions, each once.
	IDs  []arm.ID
	seen map[string]bool
	// path is why the first text that is meant as a whole id is not one. name is why
	// the first other text or member that seems to refer to a definition does not.
	path, name error
}

// Unread returns why a reference to a definition cannot be read. A text
// that is not meant as a whole id matters only if there is no whole id.
func (m *Mentions) Unread() error {
	if m.path != nil || len(m.IDs) > 0 {
		return m.path
	}
	return m.name
}

var (
	// mention matches the name of a member that refers to a definition.
	mention = regexp.MustCompile(`(?i)networkfunctiondefinition|nfdv|nfd_?version|nfdg|nfd_?group`)
	// path matches a text that is meant as a whole id.
	path = regexp.MustCompile(`(?i)/networkfunctiondefinition`)
)

// maxTexts is how many levels of JSON within texts of JSON are read.
const maxTexts = 4

// Scan reads a text that is JSON, or members without an object, as in some public examples.
func (m *Mentions) Scan(s string) {
	documents, err := document.Parse([]byte(s))
	if err != nil || (len(documents) > 1 && documents[0].Kind == document.Text) {
		documents, err = document.Parse([]byte("{" + s + "}"))
	}
	if err != nil {
		m.doubt(s, errors.New("the values are no JSON"))
		return
	}
	for _, d := range documents {
		m.walk(d, 0)
	}
}

// doubt records a text, or the name of a member, that cannot be read.
func (m *Mentions) doubt(s string, err error) {
	if into := &m.name; mention.MatchString(s) {
		if path.MatchString(s) {
			into = &m.path
		}
		*into = cmp.Or(*into, err)
	}
}

// walk finds the ids among the texts of a node, and reports whether there is one.
func (m *Mentions) walk(n *document.Node, depth int) bool {
	if n.Kind == document.Text {
		return m.read(n.Text, depth)
	}
	found := false
	for _, c := range n.Items {
		if m.walk(c, depth) {
			found = true
		}
	}
	for _, c := range n.Items {
		if n.Kind == document.Object && !found && c.Kind != document.Null && (c.Kind != document.Text || c.Text != "") {
			m.doubt(c.Key, fmt.Errorf("the value of %q: %w", arm.Clip(c.Key), noID(c)))
		}
	}
	return found
}

// read reads one text, which is an id or JSON, and reports whether it has an id.
func (m *Mentions) read(s string, depth int) bool {
	if inner := strings.TrimSpace(s); depth < maxTexts && (strings.HasPrefix(inner, "{") || strings.HasPrefix(inner, "[")) {
		if documents, err := document.Parse([]byte(s)); err == nil && len(documents) == 1 {
			return m.walk(documents[0], depth+1)
		}
	}
	id, err := arm.ParseID(s)
	switch {
	case err == nil && id.Type() == arm.TypeDefinition:
		if m.seen == nil {
			m.seen = map[string]bool{}
		}
		if !m.seen[id.Key()] {
			m.seen[id.Key()] = true
			m.IDs = append(m.IDs, id)
		}
		return true
	case err == nil:
		m.doubt(s, fmt.Errorf("%q is not a definition version", arm.Clip(s)))
	case !strings.HasPrefix(s, "/"):
		m.doubt(s, fmt.Errorf("%q: %w", arm.Clip(s), noID(&document.Node{Kind: document.Text, Text: s})))
	default:
		m.doubt(s, err)
	}
	return false
}

// noID returns why a value is not a whole id.
func noID(n *document.Node) error {
	if n.Kind == document.Text && arm.Placeholders.MatchString(n.Text) {
		return arm.ErrFilledIn
	}
	return errors.New("it is not a whole id")
}
