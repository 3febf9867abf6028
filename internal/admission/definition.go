package admission

import (
	"context"
	"fmt"

	"github.com/Masterminds/semver/v3"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func definitionValidator(p *preflight) *validator[*v1alpha1.NetworkFunctionDefinitionVersion] {
	return &validator[*v1alpha1.NetworkFunctionDefinitionVersion]{
		preflight: p,
		spec:      func(d *v1alpha1.NetworkFunctionDefinitionVersion) any { return &d.Spec },
		check:     p.checkDefinition,
	}
}

func (p *preflight) checkDefinition(ctx context.Context, was, is *v1alpha1.NetworkFunctionDefinitionVersion) (admission.Warnings, error) {
	v := version{is: is.Spec.VersionState, after: definitionNames(is)}
	if was != nil {
		v.was, v.before = was.Spec.VersionState, definitionNames(was)
	}
	if v.activates() {
		v.after = append(v.after, imageNames(is)...)
	}
	ws, all, err := p.checkVersion(ctx, v)
	if err != nil {
		return nil, err
	}
	if v.frozen() { // a frozen version has nothing new that could be wrong
		if !sameTemplate(was, is) {
			all = append(all, frozenError("networkFunctionTemplate", v.was))
		}
		return ws, invalid(is, all)
	}
	return ws, invalid(is, append(all, applicationErrors(is)...))
}

var applicationsPath = field.NewPath("spec", "networkFunctionTemplate", "networkFunctionApplications")

// definitionNames returns the references of a definition, in the order of its spec.
func definitionNames(d *v1alpha1.NetworkFunctionDefinitionVersion) []named {
	var all []named
	for i, app := range d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications {
		all = append(all, sourceNames(app.ArtifactProfile.ArtifactSource, d.Namespace, applicationsPath.Index(i).Child("artifactProfile"))...)
	}
	return all
}

// imageNames returns the other manifests that contain images of a definition's charts, according to its status.
func imageNames(d *v1alpha1.NetworkFunctionDefinitionVersion) []named {
	at := map[string]*field.Path{}
	for i, app := range d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications {
		at[app.Name] = applicationsPath.Index(i).Child("artifactProfile")
	}
	of := map[named]bool{}
	var all []named
	for _, app := range d.Status.Applications {
		for _, image := range app.Images {
			n := named{at[app.Name], reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: d.Namespace, Name: image.Manifest}}
			if image.Manifest != "" && n.at != nil && !of[n] {
				of[n] = true
				all = append(all, n)
			}
		}
	}
	return all
}

// sameTemplate reports whether two definitions have the same template, ignoring an upgrade from the old form.
func sameTemplate(was, is *v1alpha1.NetworkFunctionDefinitionVersion) bool {
	before, after := was.DeepCopy().Spec.NetworkFunctionTemplate, is.Spec.NetworkFunctionTemplate
	apps := before.NetworkFunctionApplications
	if len(apps) != len(after.NetworkFunctionApplications) {
		return false
	}
	for i, app := range after.NetworkFunctionApplications {
		p := &apps[i].ArtifactProfile
		p.ArtifactSource = upgraded(p.ArtifactSource, app.ArtifactProfile.ArtifactSource)
	}
	return equality.Semantic.DeepEqual(before, after)
}

// applicationErrors returns the errors that can be found in a definition alone. It is pure.
func applicationErrors(d *v1alpha1.NetworkFunctionDefinitionVersion) field.ErrorList {
	apps := d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications
	known := map[string]bool{}
	for _, app := range apps {
		known[app.Name] = true
	}
	var all field.ErrorList
	for i, app := range apps {
		at := applicationsPath.Index(i)
		wanted := app.ArtifactProfile.HelmArtifactProfile.HelmPackageVersionRange
		if _, err := semver.NewConstraint(wanted); err != nil {
			all = append(all, field.Invalid(at.Child("artifactProfile", "helmArtifactProfile", "helmPackageVersionRange"), wanted,
				fmt.Sprintf("it is not a range of versions (%v); give one as Helm takes it, such as ~1.0.0", err)))
		}
		if p := app.DependsOnProfile; p != nil {
			all = append(all, dependsErrors(app.Name, known, p.InstallDependsOn, at.Child("dependsOnProfile", "installDependsOn"))...)
			all = append(all, dependsErrors(app.Name, known, p.UninstallDependsOn, at.Child("dependsOnProfile", "uninstallDependsOn"))...)
			all = append(all, dependsErrors(app.Name, known, p.UpdateDependsOn, at.Child("dependsOnProfile", "updateDependsOn"))...)
		}
	}
	return all
}

func dependsErrors(self string, known map[string]bool, names []string, at *field.Path) field.ErrorList {
	var all field.ErrorList
	for i, name := range names {
		switch {
		case name == self:
			all = append(all, field.Invalid(at.Index(i), name, "an application cannot wait for itself; name another one"))
		case !known[name]:
			all = append(all, field.Invalid(at.Index(i), name, "the definition has no such application; name one of its networkFunctionApplications"))
		}
	}
	return all
}
