package aosm

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// addAnswer notes a resource of an answer.
func (im *importer) addAnswer(r resource) {
	im.setAPI(&r)
	im.add(r)
}

// add notes a resource. The same one again is the same, or the other of an answer and a template, or a
// contradiction. What is taken does not depend on the order.
func (im *importer) add(r resource) {
	i, again := im.resources[r.id.key()]
	if !again {
		im.resources[r.id.key()] = len(im.found)
		im.found = append(im.found, r)
		return
	}
	first := &im.found[i]
	a, errA := first.value.rendered()
	b, errB := r.value.rendered()
	if errA == nil && errB == nil && a == b && first.template == r.template {
		r.value.close()
		im.tell(Note, r.value.node, "the same is at %s, too", first.value.path())
		return
	}
	if id := first.id; differ(id.subscription, r.id.subscription) || differ(id.group, r.id.group) {
		im.unmapped(r.value.node, "it is another resource than that of the same name at %s, which was taken, of subscription %q, resource group %q; import it alone, with a namespace of its own (-n)", first.value.path(), clip(id.subscription), clip(id.group))
		return
	}
	taken, other, also := *first, r, first.also
	if prefers(r, b, *first, a) {
		taken, other = r, *first
	}
	other.also = nil
	taken.also = append(also, other)
	taken.api = cmp.Or(taken.api, other.api)
	taken.id.subscription, taken.id.group = cmp.Or(taken.id.subscription, other.id.subscription), cmp.Or(taken.id.group, other.id.group)
	*first = taken
}

// prefers reports whether one of two contents of a resource is taken: an answer, which is what there is, before
// a template; else the longer one.
func prefers(a resource, textA string, b resource, textB string) bool {
	if a.template != b.template {
		return b.template
	}
	return cmp.Or(cmp.Compare(len(textA), len(textB)), strings.Compare(textA, textB)) > 0
}

// mapAll maps a resource, and checks whether other parts of the input say more of it.
func (im *importer) mapAll(r resource) {
	links, objects := len(im.links), len(im.objects)
	im.mapResource(r)
	mine := im.needs(links, objects)
	for _, other := range r.also {
		links, objects, findings, doubts, made := len(im.links), len(im.objects), len(im.findings), im.doubts, len(im.made)
		if other.api == "" {
			other.api = cmp.Or(r.api, cleanUp) // what is compared is not where it lies
		}
		im.mapResource(other)
		theirs := im.needs(links, objects)
		for _, name := range im.made[made:] {
			delete(im.namespaces, name)
		}
		im.links, im.objects, im.findings, im.doubts, im.made = im.links[:links], im.objects[:objects], im.findings[:findings], doubts, im.made[:made]
		other.value.close()
		im.compare(r, other, mine, theirs)
	}
}

// compare tells what one content of a resource names, and the one that was taken does not.
func (im *importer) compare(taken, other resource, mine, theirs map[string]string) {
	var more []string
	for _, key := range slices.Sorted(maps.Keys(theirs)) {
		if _, ok := mine[key]; !ok {
			more = append(more, theirs[key])
		}
	}
	kind := "content"
	if other.template && !taken.template {
		kind = "template"
	}
	switch {
	case len(more) > 0:
		im.tell(NotMapped, other.value.node, "the same resource is at %s with other content, which was taken: it does not name %s, which this %s does", taken.value.path(), some("resource", more), kind)
	case other.template && !taken.template:
		im.tell(Note, other.value.node, "an answer has the same resource at %s, and was taken", taken.value.path())
	default:
		im.tell(NotMapped, other.value.node, "the same resource is at %s with other content, which was taken", taken.value.path())
	}
}

// needs is what the objects that were made since name and list, each with its words.
func (im *importer) needs(links, objects int) map[string]string {
	all := map[string]string{}
	for _, l := range im.links[links:] {
		if l.at == nil && l.kind != kindNamespace {
			all[l.kind+"\n"+l.id.key()] = clip(l.id.String())
		}
	}
	for _, o := range im.objects[objects:] {
		if m, ok := o.(*v1alpha1.ArtifactManifest); ok {
			for _, a := range m.Spec.Artifacts {
				name := a.ArtifactName + ":" + a.ArtifactVersion
				all["artifact\n"+name] = name
			}
		}
	}
	return all
}
