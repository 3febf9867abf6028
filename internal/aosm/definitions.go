package aosm

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// setReference is what remains to do where an import cannot know which definition a template deploys.
const setReference = "set networkFunctionDefinitionVersionRef, or the design does not keep it"

// definitionOf finds the definition that a template deploys. AOSM names it in the template itself, with
// values that the operator gives at deployment; sometimes its whole id is among the fixed values.
func (im *importer) definitionOf(c, t value, r resource, e *v1alpha1.ResourceElementTemplate) {
	parameters := c.get("parameterValues")
	var named mentions
	if parameters.there() {
		word, err := im.valuesOf(parameters)
		if im.session.fail(err) {
			return
		}
		if err != nil {
			im.unmapped(parameters.node, "which definition it deploys cannot be decided: %v; %s", err, setReference)
			return
		}
		named.scan(word)
		parameters.close()
		if named.unread() == nil && len(named.ids) < 2 {
			im.ignore(parameters.node, values)
		}
	}
	switch {
	case len(named.ids) > 1:
		im.tell(NotMapped, parameters.node, "it names several definitions, %s and %s among them, and a template deploys one here; %s", clip(named.ids[0].String()), clip(named.ids[1].String()), setReference)
		return
	case len(named.ids) == 1 && im.near(r, named.ids[0], parameters.node):
		ref := &v1alpha1.LocalReference{}
		e.Configuration.NetworkFunctionDefinitionVersionRef = ref
		im.link(&ref.Name, v1alpha1.KindDefinition, named.ids[0], nil)
	}
	switch unread := named.unread(); {
	case errors.Is(unread, errFilledIn), errors.Is(unread, errUnknownPart):
		im.tell(NotMapped, parameters.node, "which definition it deploys is decided at deployment: %v; %s", unread, setReference)
	case unread != nil:
		im.tell(NotMapped, parameters.node, "it may name a definition, and which one cannot be read: %v; %s", unread, setReference)
	case len(named.ids) == 0 && e.Type == v1alpha1.NetworkFunctionDefinition:
		im.tell(NotMapped, t.node, "which definition it deploys is decided at deployment; %s", setReference)
	}
}

// valuesOf are the values that a template is given, as JSON.
func (im *importer) valuesOf(v value) (string, error) {
	v, err := v.resolve()
	if err != nil {
		return "", err
	}
	word := v.text1()
	if v.there() && v.kind != text {
		if word, err = v.rendered(); err != nil {
			return "", err
		}
	}
	return word, v.scope.spend(1+len(word)/64, 0)
}

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
			m.doubt(c.key, fmt.Errorf("the value of %q: %w", clip(c.key), c.noID()))
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
		m.doubt(s, fmt.Errorf("%q: %w", clip(s), (&node{kind: text, text: s}).noID()))
	default:
		m.doubt(s, err)
	}
	return false
}

// noID says why a value is not a whole id.
func (n *node) noID() error {
	if n.kind == text && placeholders.MatchString(n.text) {
		return errFilledIn
	}
	return errors.New("it is not a whole id")
}
