package aosm

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

func (im *importer) mapDesign(r input.Resource) {
	p := r.Properties()
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
			im.left(item.Node, "the template")
		case known[element.Name]:
			im.Unmapped(item.Node, "a template is called %q already", arm.Clip(element.Name))
		default:
			known[element.Name] = true
			o.Spec.ResourceElementTemplates = append(o.Spec.ResourceElementTemplates, element)
		}
	}
	if len(known) == 0 {
		im.Unmapped(r.Value.Node, "nothing is left of its templates")
		return
	}
	im.putPublished(o, &o.ObjectMeta, v1alpha1.KindDesign, r)
	o.Labels[LabelDesignGroup] = labelValue(arm.Fold(r.ID.Names[1]))
}

func (im *importer) resourceElement(t template.Value, r input.Resource) (e v1alpha1.ResourceElementTemplate, ok bool) {
	if e.Name, ok = im.need(t, "name", 253); !ok {
		return e, false
	}
	switch kind := im.text(t, "type"); arm.Fold(kind) {
	case "armresourcedefinition":
		e.Type = v1alpha1.ArmResourceDefinition
	case "networkfunctiondefinition":
		e.Type = v1alpha1.NetworkFunctionDefinition
	default:
		im.Unmapped(t.Node, "a template of type %q is neither an ArmResourceDefinition nor a NetworkFunctionDefinition", arm.Clip(kind))
		return e, false
	}
	if d := t.Get("dependsOnProfile"); d.There() {
		im.Ignore(d.Node, "the order of templates is the deployment's")
	}
	c := im.object(t, "configuration")
	if profile := im.object(c, "artifactProfile"); profile.There() {
		e.Configuration.ArtifactProfile = im.templateProfile(profile, r)
	}
	im.definitionOf(c, t, r, &e)
	if e.Configuration.ArtifactProfile == nil && e.Configuration.NetworkFunctionDefinitionVersionRef == nil {
		return e, false
	}
	return e, true
}

func (im *importer) templateProfile(profile template.Value, r input.Resource) *v1alpha1.TemplateArtifactProfile {
	source, sourced := im.source(profile, "artifactStoreReference", r, profile.Node)
	name, version, named := im.artifactName(profile, "artifactName", "artifactVersion")
	if !sourced || !named {
		return nil
	}
	return &v1alpha1.TemplateArtifactProfile{ArtifactSource: source, ArtifactName: name, ArtifactVersion: version}
}
