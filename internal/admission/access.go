package admission

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// The words of the one right that reaches across namespaces.
const (
	verbUse         = "use"
	resourceDesigns = "networkservicedesignversions"
	resourceSites   = "sitenetworkservices"
)

// access asks the API server what a user may do.
type access struct{ reviews client.Writer }

// mayUse refuses a site of a user who may not use the design. It comes before anything is read of the
// design, of which such a user learns nothing.
func (a *access) mayUse(ctx context.Context, site string, design reference.Object) error {
	req, err := admission.RequestFromContext(ctx)
	if err != nil {
		return unread(err)
	}
	review := reviewOf(req.UserInfo, design)
	if err := a.reviews.Create(ctx, review); err != nil {
		return unread(fmt.Errorf("asking whether %s may be used: %w", design, err))
	}
	if review.Status.Allowed {
		return nil
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: resourceSites}, site, fmt.Errorf(
		"user %q cannot %s resource %q in API group %q in the namespace %q; grant the verb %q on %s",
		req.UserInfo.Username, verbUse, resourceDesigns, v1alpha1.GroupVersion.Group, design.Namespace, verbUse, design))
}

// reviewOf is the question whether a user may use a design.
func reviewOf(user authenticationv1.UserInfo, design reference.Object) *authorizationv1.SubjectAccessReview {
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	return &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verbUse, Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
			Resource: resourceDesigns, Namespace: design.Namespace, Name: design.Name,
		},
	}}
}
