package aosm

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// put adds the object that a resource becomes. Its name is filled in when all are known.
func (im *importer) put(o client.Object, meta *metav1.ObjectMeta, kind string, r resource) {
	o.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	meta.Annotations = map[string]string{AnnotationID: cmp.Or(r.named, r.id.String())}
	im.link(&meta.Name, kind, r.id, r.value.node)
	im.objects = append(im.objects, o)
}

// putPublished adds an object of a publisher, in the publisher's namespace.
func (im *importer) putPublished(o client.Object, meta *metav1.ObjectMeta, kind string, r resource) {
	im.put(o, meta, kind, r)
	meta.Labels = map[string]string{LabelPublisher: labelValue(fold(r.id.publisher()))}
	im.inNamespace(&meta.Namespace, r.id, r.value.node)
}

// inNamespace fills in the namespace that stands for an id's publisher.
func (im *importer) inNamespace(into *string, id resourceID, at *node) {
	if im.options.Namespace != "" {
		*into = im.options.Namespace
		return
	}
	im.link(into, kindNamespace, id, nil)
	im.putNamespace(id, at)
}

// putNamespace adds the namespace that stands for an id's publisher, once.
func (im *importer) putNamespace(id resourceID, at *node) {
	name := fold(id.publisher())
	if im.options.Namespace != "" || im.namespaces[name] {
		return
	}
	im.namespaces[name] = true
	im.made = append(im.made, name)
	ns := &corev1.Namespace{}
	ns.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kindNamespace))
	ns.Labels = map[string]string{LabelPublisher: labelValue(fold(id.publisher()))}
	ns.Annotations = map[string]string{AnnotationID: im.publisherID(id)}
	im.link(&ns.Name, kindNamespace, id, at)
	im.objects = append(im.objects, ns)
}

func (im *importer) publisherID(id resourceID) string {
	for len(id.names) > 1 {
		id = id.parent()
	}
	seen := im.scopes[fold(id.publisher())]
	id.subscription, id.group = cmp.Or(id.subscription, seen.subscription), cmp.Or(id.group, seen.group)
	return id.String()
}

func (im *importer) mapPublisher(r resource) {
	r.properties()
	im.putNamespace(r.id, r.value.node)
}

// left tells that something is left out, unless that was said of it as a whole.
func (im *importer) left(at *node, what string) {
	if at.state != closed {
		im.unmapped(at, "%s is left out", what)
	}
}

// mapGroup makes nothing: a group is a label of its versions.
func (im *importer) mapGroup(r resource) {
	r.properties()
	if im.doubts > 0 { // its versions may be what cannot be decided
		return
	}
	if im.grouped == nil {
		im.grouped = map[string]bool{}
		for _, other := range im.found {
			if t := other.id.typ(); t == typeDefinition || t == typeDesign {
				im.grouped[other.id.parent().key()] = true
			}
		}
	}
	if im.grouped[r.id.key()] {
		return
	}
	im.tell(Note, r.value.node, "a group alone becomes nothing: it is a label of its versions; import those")
}

// text is an optional member that has to be a text; "" where it is absent, or reported.
func (im *importer) text(v value, name string) string {
	m := v.get(name)
	if !m.there() {
		return ""
	}
	if out, err := m.resolve(); err == nil && !out.there() {
		return ""
	}
	word, err := v.needed(name)
	if err == nil {
		err = known(word)
	}
	im.undecided(m.node, name, err)
	if err != nil {
		return ""
	}
	return word
}

// need is a member that has to be there, a text of at most limit bytes.
func (im *importer) need(v value, name string, limit int) (string, bool) {
	at := v.node
	if m := v.get(name); m.node != nil {
		at = m.node
	}
	word, err := v.needed(name)
	switch {
	case err != nil:
		im.undecided(at, fmt.Sprintf("its %s", name), err)
		return "", false
	case word == "" || len(word) > limit:
		im.unmapped(at, "%s has to have from 1 to %d characters", name, limit)
		return "", false
	case undecidable(word):
		im.doubt(at, "%s is known at deployment only", name)
		return "", false
	case placeholders.MatchString(word):
		im.doubt(at, "%s %q is a placeholder, which is filled in at deployment", name, clip(word))
		return "", false
	case !printable(word):
		im.unmapped(at, "%s has characters that cannot be printed", name)
		return "", false
	}
	return word, true
}

// array is an optional member that has to be an array, of at most limit items.
func (im *importer) array(v value, name string, limit int) []value {
	m := v.get(name)
	if !m.there() {
		return nil
	}
	out, err := m.resolve()
	switch {
	case err != nil:
		im.undecided(m.node, name, err)
		return nil
	case !out.there():
		return nil
	case out.kind != array:
		im.doubt(m.node, "%s is not an array, or is made by a loop that cannot be decided", name)
		return nil
	}
	items := out.items()
	if len(items) > limit {
		im.tell(NotMapped, m.node, "%s has %d items, and more than %d cannot be: the last %d are left out", name, len(items), limit, len(items)-limit)
	}
	for _, over := range items[min(limit, len(items)):] {
		over.close()
	}
	return items[:min(limit, len(items))]
}

// texts is an optional array of texts, each of 1 to 253 bytes.
func (im *importer) texts(v value, name string, limit int) []string {
	var all []string
	for _, item := range im.array(v, name, limit) {
		out, err := item.resolve()
		var word string
		if err == nil {
			word, err = out.word()
		}
		if err == nil {
			err = known(word)
		}
		switch {
		case err != nil:
			im.undecided(item.node, "an item of "+name, err)
		case word == "" || len(word) > 253 || !printable(word):
			im.unmapped(item.node, "an item of %s has to have from 1 to 253 characters that can be printed", name)
		default:
			all = append(all, word)
		}
	}
	return all
}

// object is a member that has to be an object; absent where it is not, which is reported when needed.
func (im *importer) object(v value, name string) value {
	m := v.get(name)
	if !m.there() {
		return value{}
	}
	out, err := m.resolve()
	if err != nil {
		im.undecided(m.node, name, err)
		return value{}
	}
	if out.there() && out.kind != object {
		im.unmapped(m.node, "%s is not an object", name)
	}
	if !out.there() || out.kind != object {
		return value{}
	}
	return out
}

// reference is the id in a member such as {"id": "..."}.
func (im *importer) reference(v value, name string) (id resourceID, at *node, ok bool) {
	ref := im.object(v, name)
	if !ref.there() {
		return id, v.node, false
	}
	at = ref.node
	if m := ref.get("id"); m.node != nil {
		at = m.node
	}
	word, err := ref.needed("id")
	if err != nil {
		im.undecided(at, "what it refers to", err)
		return id, at, false
	}
	if id, err = parseID(word); err != nil {
		im.unmapped(at, "%v", err)
		return id, at, false
	}
	return id, at, true
}

// near reports whether what an object refers to is its own publisher's, which stays in its namespace.
func (im *importer) near(r resource, id resourceID, at *node) bool {
	if im.options.Namespace == "" && fold(id.publisher()) != fold(r.id.publisher()) {
		im.unmapped(at, "it is of the publisher %q, and a reference stays in the namespace of its own; import both into one (-n)", clip(id.publisher()))
		return false
	}
	return im.knows(id, at)
}
