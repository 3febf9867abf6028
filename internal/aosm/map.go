package aosm

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// put adds the object for a resource. Its name is filled in once all names are known.
func (im *importer) put(o client.Object, meta *metav1.ObjectMeta, kind string, r input.Resource) {
	o.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	meta.Annotations = map[string]string{AnnotationID: cmp.Or(r.Named, r.ID.String())}
	im.link(&meta.Name, kind, r.ID, r.Value.Node)
	im.objects = append(im.objects, o)
}

// putPublished adds an object of a publisher, in the publisher's namespace.
func (im *importer) putPublished(o client.Object, meta *metav1.ObjectMeta, kind string, r input.Resource) {
	im.put(o, meta, kind, r)
	meta.Labels = map[string]string{LabelPublisher: labelValue(arm.Fold(r.ID.Publisher()))}
	im.inNamespace(&meta.Namespace, r.ID, r.Value.Node)
}

// inNamespace fills in the namespace of an id's publisher.
func (im *importer) inNamespace(into *string, id arm.ID, at *document.Node) {
	if im.options.Namespace != "" {
		*into = im.options.Namespace
		return
	}
	im.link(into, kindNamespace, id, nil)
	im.putNamespace(id, at)
}

// putNamespace adds the namespace of an id's publisher, once.
func (im *importer) putNamespace(id arm.ID, at *document.Node) {
	name := arm.Fold(id.Publisher())
	if im.options.Namespace != "" || im.namespaces[name] {
		return
	}
	im.namespaces[name] = true
	im.made = append(im.made, name)
	ns := &corev1.Namespace{}
	ns.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kindNamespace))
	ns.Labels = map[string]string{LabelPublisher: labelValue(arm.Fold(id.Publisher()))}
	ns.Annotations = map[string]string{AnnotationID: im.publisherID(id)}
	im.link(&ns.Name, kindNamespace, id, at)
	im.objects = append(im.objects, ns)
}

func (im *importer) publisherID(id arm.ID) string {
	for len(id.Names) > 1 {
		id = id.Parent()
	}
	seen := im.scopes[arm.Fold(id.Publisher())]
	id.Subscription, id.Group = cmp.Or(id.Subscription, seen.Subscription), cmp.Or(id.Group, seen.Group)
	return id.String()
}

func (im *importer) mapPublisher(r input.Resource) {
	r.Properties()
	im.putNamespace(r.ID, r.Value.Node)
}

// left reports that something is left out, unless a finding covers it as a whole.
func (im *importer) left(at *document.Node, what string) {
	if at.State != document.Closed {
		im.Unmapped(at, "%s is left out", what)
	}
}

// mapGroup makes no object: a group becomes a label of its versions.
func (im *importer) mapGroup(r input.Resource) {
	r.Properties()
	if im.Doubts > 0 { // the undecided resources may be its versions
		return
	}
	if im.grouped == nil {
		im.grouped = map[string]bool{}
		for _, other := range im.found {
			if t := other.ID.Type(); t == arm.TypeDefinition || t == arm.TypeDesign {
				im.grouped[other.ID.Parent().Key()] = true
			}
		}
	}
	if im.grouped[r.ID.Key()] {
		return
	}
	im.Tell(finding.Note, r.Value.Node, "a group alone becomes nothing: it is a label of its versions; import those")
}

// text returns an optional text member; "" if it is absent, or is not a text, which is reported.
func (im *importer) text(v template.Value, name string) string {
	m := v.Get(name)
	if !m.There() {
		return ""
	}
	if out, err := m.Resolve(); err == nil && !out.There() {
		return ""
	}
	word, err := v.Needed(name)
	if err == nil {
		err = arm.Known(word)
	}
	im.Undecided(m.Node, name, err)
	if err != nil {
		return ""
	}
	return word
}

// need returns a required text member of 1 to limit bytes. It reports a member that is not one.
func (im *importer) need(v template.Value, name string, limit int) (string, bool) {
	at := v.Node
	if m := v.Get(name); m.Node != nil {
		at = m.Node
	}
	word, err := v.Needed(name)
	switch {
	case err != nil:
		im.Undecided(at, fmt.Sprintf("its %s", name), err)
		return "", false
	case word == "" || len(word) > limit:
		im.Unmapped(at, "%s has to have from 1 to %d characters", name, limit)
		return "", false
	case arm.Undecidable(word):
		im.Doubt(at, "%s is known at deployment only", name)
		return "", false
	case arm.Placeholders.MatchString(word):
		im.Doubt(at, "%s %q is a placeholder, which is filled in at deployment", name, arm.Clip(word))
		return "", false
	case !arm.Printable(word):
		im.Unmapped(at, "%s has characters that cannot be printed", name)
		return "", false
	}
	return word, true
}

// array returns the items of an optional array member, at most limit.
func (im *importer) array(v template.Value, name string, limit int) []template.Value {
	m := v.Get(name)
	if !m.There() {
		return nil
	}
	out, err := m.Resolve()
	switch {
	case err != nil:
		im.Undecided(m.Node, name, err)
		return nil
	case !out.There():
		return nil
	case out.Kind != document.Array:
		im.Doubt(m.Node, "%s is not an array, or is made by a loop that cannot be decided", name)
		return nil
	}
	items := out.Items()
	if len(items) > limit {
		im.Tell(finding.NotMapped, m.Node, "%s has %d items, and more than %d cannot be: the last %d are left out", name, len(items), limit, len(items)-limit)
	}
	for _, over := range items[min(limit, len(items)):] {
		over.Close()
	}
	return items[:min(limit, len(items))]
}

// texts returns the items of an optional array of texts, each of 1 to 253 bytes.
func (im *importer) texts(v template.Value, name string, limit int) []string {
	var all []string
	for _, item := range im.array(v, name, limit) {
		out, err := item.Resolve()
		var word string
		if err == nil {
			word, err = out.Word()
		}
		if err == nil {
			err = arm.Known(word)
		}
		switch {
		case err != nil:
			im.Undecided(item.Node, "an item of "+name, err)
		case word == "" || len(word) > 253 || !arm.Printable(word):
			im.Unmapped(item.Node, "an item of %s has to have from 1 to 253 characters that can be printed", name)
		default:
			all = append(all, word)
		}
	}
	return all
}

// object returns a member that is an object; the zero Value if it is absent, or is not an object, which is reported.
func (im *importer) object(v template.Value, name string) template.Value {
	m := v.Get(name)
	if !m.There() {
		return template.Value{}
	}
	out, err := m.Resolve()
	if err != nil {
		im.Undecided(m.Node, name, err)
		return template.Value{}
	}
	if out.There() && out.Kind != document.Object {
		im.Unmapped(m.Node, "%s is not an object", name)
	}
	if !out.There() || out.Kind != document.Object {
		return template.Value{}
	}
	return out
}

// reference returns the id in a member such as {"id": "..."}.
func (im *importer) reference(v template.Value, name string) (id arm.ID, at *document.Node, ok bool) {
	ref := im.object(v, name)
	if !ref.There() {
		return id, v.Node, false
	}
	at = ref.Node
	if m := ref.Get("id"); m.Node != nil {
		at = m.Node
	}
	word, err := ref.Needed("id")
	if err != nil {
		im.Undecided(at, "what it refers to", err)
		return id, at, false
	}
	if id, err = arm.ParseID(word); err != nil {
		im.Unmapped(at, "%v", err)
		return id, at, false
	}
	return id, at, true
}

// near reports whether a referenced resource belongs in the namespace of the object
// that references it: it is of the same publisher, or Options.Namespace is set.
func (im *importer) near(r input.Resource, id arm.ID, at *document.Node) bool {
	if im.options.Namespace == "" && arm.Fold(id.Publisher()) != arm.Fold(r.ID.Publisher()) {
		im.Unmapped(at, "it is of the publisher %q, and a reference stays in the namespace of its own; import both into one (-n)", arm.Clip(id.Publisher()))
		return false
	}
	return im.isFirstPublisher(id, at)
}
