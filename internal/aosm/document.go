package aosm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// readDocuments finds the resources of all documents, templates and answers alike.
func (im *importer) readDocuments(documents []*document) {
	declared := map[string]bool{}
	for _, d := range documents {
		if !d.template {
			im.stray = d.stray
			im.readAnswer(value{node: d.node, scope: &scope{session: im.session}})
			continue
		}
		if parameters := d.member("parameters"); parameters != nil {
			for _, p := range parameters.items {
				declared[fold(p.key)] = true
			}
		}
		given := im.options.Parameters.over(d.given)
		t := newTemplate(im.session, d.node, given.values(im.session))
		own := &scope{session: im.session, template: t}
		im.readTemplate(value{node: d.node, scope: own}, t)
	}
	im.tellUndeclared(declared)
}

func isTemplate(d *node) bool {
	if schema := d.member("$schema"); schema != nil && strings.Contains(fold(schema.text), "deploymenttemplate.json") {
		return true
	}
	return d.member("resources") != nil && d.member("id") == nil && d.member("type") == nil
}

// readAnswer reads what the az command line or the REST API says: a resource, several, or a page of them.
func (im *importer) readAnswer(v value) {
	v.open()
	if v.kind == array {
		for _, item := range v.items() {
			im.readOne(item)
		}
		return
	}
	for _, name := range []string{"value", "data"} { // of the REST API, and of az graph query
		list := v.get(name)
		if !list.there() || list.kind != array || v.get("id").there() {
			continue
		}
		for _, item := range list.items() {
			im.readOne(item)
		}
		im.tellMore(v)
		return
	}
	im.readOne(v)
}

// tellMore tells that an answer is one page of several.
func (im *importer) tellMore(v value) {
	for _, name := range []string{"nextLink", "skip_token", "$skipToken"} {
		if next := v.get(name); next.there() && next.text != "" {
			im.unmapped(next.node, "this is one page, and there are more: fetch all of them, and import them together")
		}
	}
	for _, name := range []string{"count", "total_records", "totalRecords", "resultTruncated"} {
		v.get(name).close()
	}
}

// readOne reads one resource of an answer.
func (im *importer) readOne(v value) {
	switch {
	case v.node == nil || v.kind != object:
		im.unmapped(v.node, "it is not a resource, which is an object")
	case v.get("error").there():
		im.unmapped(v.node, "it is an answer that reports an error, not a resource")
	case strings.Contains(fold(v.get("$schema").text1()), "deploymentparameters.json"):
		im.unmapped(v.node, "it is a parameter file; give it with --parameters @FILE, or import it together with its template")
	case v.get("id").there():
		im.readIdentified(v)
	default:
		im.readNamed(v)
	}
}

func (im *importer) readIdentified(v value) {
	raw := v.get("id")
	if raw.kind != text {
		im.unmapped(v.node, "its id is not text")
		return
	}
	id, err := parseID(raw.text1())
	if err != nil {
		im.unmapped(v.node, "%v", err)
		return
	}
	if name := v.get("name").text1(); name != "" && fold(name) != fold(id.name()) {
		im.tell(Note, v.get("name").node, "the name differs from that in the id, %q; the id is used", clip(id.name()))
	}
	im.addAnswer(resource{id: id, named: raw.text, value: v})
}

// readNamed reads a resource without an id. A type and a name are enough where there is nothing above it.
func (im *importer) readNamed(v value) {
	typ, name := v.get("type").text1(), v.get("name").text1()
	id, err := identify(resourceID{}, typ, name)
	switch {
	case (typ == "" || name == "" || err != nil) && im.stray && v.parent == nil:
		v.close()
		im.tell(Note, v.node, "the file has nothing of AOSM, and is passed over")
	case typ == "" || name == "":
		im.unmapped(v.node, "nothing says what it is: there is neither an id nor a type and a name; import what `az ... show --output json` prints without --query, or a template")
	case err != nil:
		im.unmapped(v.node, "without an id, its type and name have to say what it is in: %v", err)
	default:
		im.addAnswer(resource{id: id, value: v})
	}
}

// text1 is the text of a text, "" of anything else.
func (v value) text1() string {
	if v.node == nil || v.kind != text {
		return ""
	}
	return v.text
}

// identify makes the id of a resource from its type and name, each with or without what it is in.
func identify(parent resourceID, typ, name string) (resourceID, error) {
	types, names := strings.Split(typ, "/"), strings.Split(name, "/")
	for _, part := range slices.Concat(types, names) {
		if part == "" {
			return resourceID{}, errors.New("a part of its type or name is empty")
		}
		if err := checkPart(part); err != nil {
			return resourceID{}, fmt.Errorf("its type or name: %w", err)
		}
	}
	id := parent
	if strings.Contains(types[0], ".") { // a provider: the type is whole, and the name may be
		if len(types)-1 == len(parent.names)+len(names) {
			names = slices.Concat(parent.names, names)
		}
		id = resourceID{subscription: parent.subscription, group: parent.group, provider: types[0]}
		types = types[1:]
	}
	if id.provider == "" || len(types) == 0 || len(types) != len(names) {
		return resourceID{}, errors.New("its name has not as many parts as its type")
	}
	id = id.child(types, names)
	if err := id.checkNames(); err != nil {
		return resourceID{}, fmt.Errorf("its name: %w", err)
	}
	return id, nil
}
