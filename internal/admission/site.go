package admission

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func siteValidator(p *preflight, a *access) *validator[*v1alpha1.SiteNetworkService] {
	return &validator[*v1alpha1.SiteNetworkService]{
		preflight: p,
		spec:      func(s *v1alpha1.SiteNetworkService) any { return &s.Spec },
		check: func(ctx context.Context, was, is *v1alpha1.SiteNetworkService) (admission.Warnings, error) {
			return p.checkSite(ctx, was, is)
		},
		allowed: func(ctx context.Context, was, is *v1alpha1.SiteNetworkService) error {
			design, changed := newDesign(was, is)
			if !changed || design.Namespace == is.Namespace {
				return nil
			}
			return a.mayUse(ctx, is.Name, design)
		},
	}
}

// newDesign returns the design that a site references, and whether the reference is new. It is not new
// if only its namespace was spelled out or left out. was is nil if the site is new. newDesign is pure.
func newDesign(was, is *v1alpha1.SiteNetworkService) (design reference.Object, changed bool) {
	design = reference.Of(is)[0].To
	return design, was == nil || reference.Of(was)[0].To != design
}

func (p *preflight) checkSite(ctx context.Context, was, is *v1alpha1.SiteNetworkService) (admission.Warnings, error) {
	design, changed := newDesign(was, is)
	if !changed {
		return nil, nil
	}
	found, err := p.target(ctx, design, false)
	if err != nil {
		return nil, unread(err)
	}
	ws, all := siteFindings(design, found)
	return ws, invalid(is, all)
}

// siteFindings returns the warnings and errors about the design of a site. It is pure.
func siteFindings(design reference.Object, found target) (admission.Warnings, field.ErrorList) {
	at := field.NewPath("spec", "networkServiceDesignVersionRef", "name")
	switch {
	case !found.exists:
		return admission.Warnings{fmt.Sprintf("References objects that do not exist: %s. Until they do, the condition Resolved is False.", design)}, nil
	case found.terminating:
		return nil, field.ErrorList{field.Invalid(at, design.Name, fmt.Sprintf("%s is being deleted; name another one, or apply it again once it is gone", design))}
	case found.deprecated:
		return nil, field.ErrorList{field.Invalid(at, design.Name, fmt.Sprintf("%s is Deprecated and takes no new deployments; name another version", design))}
	}
	return nil, nil
}
