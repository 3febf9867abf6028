package admission

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func designValidator(p *preflight) *validator[*v1alpha1.NetworkServiceDesignVersion] {
	return &validator[*v1alpha1.NetworkServiceDesignVersion]{
		preflight: p,
		spec:      func(d *v1alpha1.NetworkServiceDesignVersion) any { return &d.Spec },
		check:     p.checkDesign,
	}
}

func (p *preflight) checkDesign(ctx context.Context, was, is *v1alpha1.NetworkServiceDesignVersion) (admission.Warnings, error) {
	v := version{is: is.Spec.VersionState, after: designNames(is)}
	if was != nil {
		v.was, v.before = was.Spec.VersionState, designNames(was)
	}
	ws, all, err := p.checkVersion(ctx, v)
	if err != nil {
		return nil, err
	}
	if v.frozen() && !sameTemplates(was, is) {
		all = append(all, frozenError("resourceElementTemplates", v.was))
	}
	return ws, invalid(is, all)
}

// designNames returns the references of a design, in the order of its spec.
func designNames(d *v1alpha1.NetworkServiceDesignVersion) []named {
	var all []named
	for i, t := range d.Spec.ResourceElementTemplates {
		at := field.NewPath("spec", "resourceElementTemplates").Index(i).Child("configuration")
		if p := t.Configuration.ArtifactProfile; p != nil {
			all = append(all, sourceNames(p.ArtifactSource, d.Namespace, at.Child("artifactProfile"))...)
		}
		if r := t.Configuration.NetworkFunctionDefinitionVersionRef; r != nil {
			to := reference.Object{Kind: v1alpha1.KindDefinition, Namespace: d.Namespace, Name: r.Name}
			all = append(all, named{at.Child("networkFunctionDefinitionVersionRef", "name"), to})
		}
	}
	return all
}

// sameTemplates reports whether two designs have the same templates, ignoring an upgrade from the old form.
func sameTemplates(was, is *v1alpha1.NetworkServiceDesignVersion) bool {
	before, after := was.DeepCopy().Spec.ResourceElementTemplates, is.Spec.ResourceElementTemplates
	if len(before) != len(after) {
		return false
	}
	for i := range after {
		old, now := before[i].Configuration.ArtifactProfile, after[i].Configuration.ArtifactProfile
		if old != nil && now != nil {
			old.ArtifactSource = upgraded(old.ArtifactSource, now.ArtifactSource)
		}
	}
	return equality.Semantic.DeepEqual(before, after)
}
