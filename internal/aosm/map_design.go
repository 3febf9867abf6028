package aosm

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func (im *importer) mapDesign(r resource) {
	p := r.properties()
	o := &v1alpha1.NetworkServiceDesignVersion{}
	o.Spec.VersionState = im.versionState(p)
	known := map[string]bool{}
	for _, item := range im.array(p, "resourceElementTemplates", 128) {
		t, ok := im.element(item, "a template")
		var element v1alpha1.ResourceElementTemplate
		if ok {
			element, ok = im.resourceElement(t, r)
		}
		switch {
		case !ok:
			im.left(item.node, "the template")
		case known[element.Name]:
			im.unmapped(item.node, "a template is called %q already", clip(element.Name))
		default:
			known[element.Name] = true
			o.Spec.ResourceElementTemplates = append(o.Spec.ResourceElementTemplates, element)
		}
	}
	if len(known) == 0 {
		im.unmapped(r.value.node, "nothing is left of its templates")
		return
	}
	im.putPublished(o, &o.ObjectMeta, v1alpha1.KindDesign, r)
	o.Labels[LabelDesignGroup] = labelValue(fold(r.id.names[1]))
}

func (im *importer) resourceElement(t value, r resource) (e v1alpha1.ResourceElementTemplate, ok bool) {
	if e.Name, ok = im.need(t, "name", 253); !ok {
		return e, false
	}
	switch kind := im.text(t, "type"); fold(kind) {
	case "armresourcedefinition":
		e.Type = v1alpha1.ArmResourceDefinition
	case "networkfunctiondefinition":
		e.Type = v1alpha1.NetworkFunctionDefinition
	default:
		im.unmapped(t.node, "a template of type %q is neither an ArmResourceDefinition nor a NetworkFunctionDefinition", clip(kind))
		return e, false
	}
	if d := t.get("dependsOnProfile"); d.there() {
		im.ignore(d.node, "the order of templates is the deployment's")
	}
	c := im.object(t, "configuration")
	if profile := im.object(c, "artifactProfile"); profile.there() {
		e.Configuration.ArtifactProfile = im.templateProfile(profile, r)
	}
	im.definitionOf(c, t, r, &e)
	if e.Configuration.ArtifactProfile == nil && e.Configuration.NetworkFunctionDefinitionVersionRef == nil {
		return e, false
	}
	return e, true
}

func (im *importer) templateProfile(profile value, r resource) *v1alpha1.TemplateArtifactProfile {
	source, sourced := im.source(profile, "artifactStoreReference", r, profile.node)
	name, version, named := im.artifactName(profile, "artifactName", "artifactVersion")
	if !sourced || !named {
		return nil
	}
	return &v1alpha1.TemplateArtifactProfile{ArtifactSource: source, ArtifactName: name, ArtifactVersion: version}
}

// definitionOf finds the definition that a template deploys. AOSM names it in the template itself, with
// values that the operator gives at deployment; sometimes its whole id is among the fixed values.
func (im *importer) definitionOf(c, t value, r resource, e *v1alpha1.ResourceElementTemplate) {
	var found []resourceID
	parameters := c.get("parameterValues")
	if parameters.there() {
		word, err := im.word(c, "parameterValues")
		if im.session.fail(err) {
			return
		}
		found = definitionsIn(word)
		im.ignore(parameters.node, values)
	}
	switch {
	case len(found) > 1:
		im.tell(NotMapped, parameters.node, "it names several definitions, and a template deploys one here")
	case len(found) == 1:
		if !im.near(r, found[0], parameters.node) {
			return
		}
		ref := &v1alpha1.LocalReference{}
		e.Configuration.NetworkFunctionDefinitionVersionRef = ref
		im.link(&ref.Name, v1alpha1.KindDefinition, found[0], nil)
	case e.Type == v1alpha1.NetworkFunctionDefinition:
		im.tell(NotMapped, t.node, "which definition it deploys is decided at deployment; set networkFunctionDefinitionVersionRef, or the design does not keep it")
	}
}

// definitionsIn finds the whole ids of definitions among the texts of a JSON text, each once.
func definitionsIn(s string) []resourceID {
	documents, err := parse([]byte(s))
	if err != nil {
		return nil
	}
	var found []resourceID
	seen := map[string]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if n.kind == text {
			if id, err := parseID(n.text); err == nil && id.typ() == typeDefinition && !seen[id.key()] {
				seen[id.key()] = true
				found = append(found, id)
			}
		}
		for _, m := range n.items {
			walk(m)
		}
	}
	for _, d := range documents {
		walk(d)
	}
	return found
}
