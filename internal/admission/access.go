package admission

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

const (
	// verbUse is the verb on a design that a user needs to reference it from a site in another namespace.
	verbUse = "use"
	// verbGet is the verb on a Secret that a user needs to reference it from a store.
	verbGet         = "get"
	resourceDesigns = "networkservicedesignversions"
	resourceSites   = "sitenetworkservices"
	resourceStores  = "artifactstores"
	resourceSecrets = "secrets"
)

// access asks the API server whether a user has a right.
type access struct{ reviews client.Writer }

// mayUse refuses a site if the user may not use its design. It is called before
// the design is read, so that such a user learns nothing about the design.
func (a *access) mayUse(ctx context.Context, site string, design reference.Object) error {
	return a.may(ctx, authorizationv1.ResourceAttributes{
		Verb: verbUse, Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
		Resource: resourceDesigns, Namespace: design.Namespace, Name: design.Name,
	}, resourceSites, site, design.String(), "")
}

// mayRead refuses a store if the user may not read the Secret that it references. A user who can choose a Secret also
// chooses the host that the manager sends its contents to, and so could read it. mayRead reads nothing of the Secret.
func (a *access) mayRead(ctx context.Context, s *v1alpha1.ArtifactStore, secret string) error {
	return a.may(ctx, authorizationv1.ResourceAttributes{
		Verb: verbGet, Version: "v1", Resource: resourceSecrets, Namespace: s.Namespace, Name: secret,
	}, resourceStores, s.Name, resourceSecrets+"/"+s.Namespace+"/"+secret,
		" to this user, or let a user who has it apply the store: nfo sends the Secret in spec.registry.credentialsSecretRef to the store's registry")
}

// may refuses an object, given as the plural name of its kind and its name, unless the user
// of the request has a right. on names the object of the right, and more ends the refusal.
// If the question fails, the error is a 503, after which clients repeat the request.
func (a *access) may(ctx context.Context, right authorizationv1.ResourceAttributes, resource, name, on, more string) error {
	req, err := admission.RequestFromContext(ctx)
	if err != nil {
		return unread(err)
	}
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range req.UserInfo.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: req.UserInfo.Username, UID: req.UserInfo.UID, Groups: req.UserInfo.Groups, Extra: extra, ResourceAttributes: &right,
	}}
	if err := a.reviews.Create(ctx, review); err != nil {
		return unread(fmt.Errorf("asking whether user %q has the verb %q on %s: %w", req.UserInfo.Username, right.Verb, on, err))
	}
	if review.Status.Allowed {
		return nil
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: resource}, name, fmt.Errorf(
		"user %q cannot %s resource %q in API group %q in the namespace %q; grant the verb %q on %s%s",
		req.UserInfo.Username, right.Verb, right.Resource, right.Group, right.Namespace, right.Verb, on, more))
}
