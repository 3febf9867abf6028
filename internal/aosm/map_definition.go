package aosm

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

func (im *importer) mapDefinition(r input.Resource) {
	p := r.Properties()
	if t := im.text(p, "networkFunctionType"); t != "" && arm.Fold(t) != "containerizednetworkfunction" {
		im.Unmapped(r.Value.Node, "a definition of type %q has no Helm charts, and nothing else is handled: it keeps nothing here", arm.Clip(t))
		return
	}
	o := &v1alpha1.NetworkFunctionDefinitionVersion{}
	o.Spec.VersionState = im.versionState(p, r)
	template := im.object(p, "networkFunctionTemplate")
	known := map[string]*document.Node{}
	for _, item := range im.array(template, "networkFunctionApplications", 128) {
		app, ok := im.application(item, r)
		if !ok {
			im.left(item.Node, "the application")
			continue
		}
		if known[app.Name] != nil {
			im.Unmapped(item.Node, "an application is called %q already", arm.Clip(app.Name))
			continue
		}
		known[app.Name] = item.Node
		apps := &o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications
		*apps = append(*apps, app)
	}
	if len(known) == 0 {
		im.Unmapped(r.Value.Node, "nothing is left of its applications")
		return
	}
	im.orderApplications(o, known)
	im.putPublished(o, &o.ObjectMeta, v1alpha1.KindDefinition, r)
	o.Labels[LabelDefinitionGroup] = labelValue(arm.Fold(r.ID.Names[1]))
}

// orderApplications drops dependencies on applications that were not mapped.
func (im *importer) orderApplications(o *v1alpha1.NetworkFunctionDefinitionVersion, known map[string]*document.Node) {
	apps := o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications
	for i := range apps {
		d := apps[i].DependsOnProfile
		if d == nil {
			continue
		}
		for _, names := range []*[]string{&d.InstallDependsOn, &d.UninstallDependsOn, &d.UpdateDependsOn} {
			var kept []string
			for _, name := range *names {
				if known[name] != nil && name != apps[i].Name {
					kept = append(kept, name)
					continue
				}
				im.Tell(finding.NotMapped, known[apps[i].Name], "it depends on an application %q, which does not exist", arm.Clip(name))
			}
			*names = kept
		}
		if len(d.InstallDependsOn)+len(d.UninstallDependsOn)+len(d.UpdateDependsOn) == 0 {
			apps[i].DependsOnProfile = nil
		}
	}
}

// versionState returns "" for a preview: a version that was activated in the cluster since then stays active.
func (im *importer) versionState(p template.Value, r input.Resource) v1alpha1.VersionState {
	state := im.text(p, "versionState")
	at := p.Get("versionState").Node
	var is v1alpha1.VersionState
	switch arm.Fold(state) {
	case "", "preview":
		return ""
	case "active":
		is = v1alpha1.VersionActive
	case "deprecated":
		is = v1alpha1.VersionDeprecated
	default:
		im.Tell(finding.Note, at, "the state %q is taken to be Preview", arm.Clip(state))
		return ""
	}
	if im.readOnly(r, at, "versionState") {
		return ""
	}
	return is
}

func (im *importer) application(item template.Value, r input.Resource) (app v1alpha1.NetworkFunctionApplication, ok bool) {
	item, ok = im.element(item, "an application")
	if !ok {
		return app, false
	}
	if app.Name, ok = im.need(item, "name", 253); !ok {
		return app, false
	}
	if kind := im.text(item, "artifactType"); kind != "" && arm.Fold(kind) != "helmpackage" {
		im.Unmapped(item.Node, "an application of type %q is not a Helm chart", arm.Clip(kind))
		return app, false
	}
	app.ArtifactType = "HelmPackage"
	profile := im.object(item, "artifactProfile")
	source, ok := im.source(profile, "artifactStore", r, item.Node)
	if !ok {
		return app, false
	}
	app.ArtifactProfile.ArtifactSource = source
	helm := im.object(profile, "helmArtifactProfile")
	if !helm.There() {
		im.Tell(finding.NotMapped, item.Node, "it names no chart")
		return app, false
	}
	h := &app.ArtifactProfile.HelmArtifactProfile
	h.HelmPackageName, ok = im.repositoryName(helm, "helmPackageName")
	wanted, known := im.need(helm, "helmPackageVersionRange", 128)
	h.HelmPackageVersionRange = wanted
	h.RegistryValuesPaths = im.texts(helm, "registryValuesPaths", 64)
	h.ImagePullSecretsValuesPaths = im.texts(helm, "imagePullSecretsValuesPaths", 64)
	if d := im.object(item, "dependsOnProfile"); d.There() {
		app.DependsOnProfile = &v1alpha1.DependsOnProfile{
			InstallDependsOn:   im.texts(d, "installDependsOn", 128),
			UninstallDependsOn: im.texts(d, "uninstallDependsOn", 128),
			UpdateDependsOn:    im.texts(d, "updateDependsOn", 128),
		}
	}
	return app, ok && known
}

// element returns an item of an array that must be an object.
func (im *importer) element(item template.Value, what string) (template.Value, bool) {
	out, err := item.Resolve()
	switch {
	case err != nil:
		im.Undecided(item.Node, what, err)
		return template.Value{}, false
	case out.Node == nil || out.Kind != document.Object:
		im.Doubt(item.Node, "%s is not an object", what)
		return template.Value{}, false
	}
	return out, true
}

// source returns where a profile takes its artifact from. Both API styles write it in
// the same member: the id of a store is the old form, the id of a manifest the new form.
func (im *importer) source(profile template.Value, member string, r input.Resource, owner *document.Node) (s v1alpha1.ArtifactSource, ok bool) {
	id, at, ok := im.reference(profile, member)
	if !ok {
		if at == nil || at.State != document.Closed {
			im.Tell(finding.NotMapped, owner, "it does not say where its artifact lies")
		}
		return s, false
	}
	if t := id.Type(); t != arm.TypeStore && t != arm.TypeManifest {
		im.Unmapped(at, "it refers to neither an artifact store nor an artifact manifest")
		return s, false
	}
	if !im.near(r, id, at) {
		return s, false
	}
	ref := &v1alpha1.LocalReference{}
	if id.Type() == arm.TypeStore {
		f := im.forms[id.Key()]
		im.forms[id.Key()] = referenceForms{old: true, new: f.new}
		s.ArtifactStoreRef = ref
		im.link(&ref.Name, v1alpha1.KindArtifactStore, id, nil)
		return s, true
	}
	im.manifests[id.Key()] = true
	f := im.forms[id.Parent().Key()]
	im.forms[id.Parent().Key()] = referenceForms{old: f.old, new: true}
	s.ArtifactManifestRef = ref
	im.link(&ref.Name, v1alpha1.KindArtifactManifest, id, nil)
	return s, true
}
