package aosm

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func (im *importer) mapDesign(r resource) {
	p := r.properties()
	o := &v1alpha1.NetworkServiceDesignVersion{}
	o.Spec.VersionState = im.versionState(p, r)
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
