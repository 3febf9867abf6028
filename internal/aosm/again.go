package aosm

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
)

// mapAll maps a resource, and compares it with the other contents that the input has for it.
func (im *importer) mapAll(r input.Resource) {
	links, objects := len(im.links), len(im.objects)
	im.mapResource(r)
	mine := im.needs(links, objects)
	for _, other := range r.Also {
		links, objects, findings, doubts, made := len(im.links), len(im.objects), len(im.Findings), im.Doubts, len(im.made)
		if other.API == "" {
			other.API = cmp.Or(r.API, manifestScopedVersion) // the paths are not compared, and must raise no question
		}
		im.mapResource(other)
		theirs := im.needs(links, objects)
		for _, name := range im.made[made:] {
			delete(im.namespaces, name)
		}
		im.links, im.objects, im.Findings, im.Doubts, im.made = im.links[:links], im.objects[:objects], im.Findings[:findings], doubts, im.made[:made]
		other.Value.Close()
		im.compare(r, other, mine, theirs)
	}
}

// compare reports what another content of a resource references or lists and the content that was taken does not.
func (im *importer) compare(taken, other input.Resource, mine, theirs map[string]string) {
	var more []string
	for _, key := range slices.Sorted(maps.Keys(theirs)) {
		if _, ok := mine[key]; !ok {
			more = append(more, theirs[key])
		}
	}
	kind := "content"
	if other.Template && !taken.Template {
		kind = "template"
	}
	switch {
	case len(more) > 0:
		im.Tell(finding.NotMapped, other.Value.Node, "the same resource is at %s with other content, which was taken: it does not name %s, which this %s does", taken.Value.Path(), some("resource", more), kind)
	case other.Template && !taken.Template:
		im.Tell(finding.Note, other.Value.Node, "an answer has the same resource at %s, and was taken", taken.Value.Path())
	default:
		im.Tell(finding.NotMapped, other.Value.Node, "the same resource is at %s with other content, which was taken", taken.Value.Path())
	}
}

// needs returns what the objects made since the given counts reference and list, with the words for each.
func (im *importer) needs(links, objects int) map[string]string {
	all := map[string]string{}
	for _, l := range im.links[links:] {
		if l.at == nil && l.kind != kindNamespace {
			all[l.kind+"\n"+l.id.Key()] = arm.Clip(l.id.String())
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
