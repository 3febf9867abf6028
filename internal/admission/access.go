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
	// verbUse is the right on a design that a site of another namespace needs.
	verbUse = "use"
	// verbGet is the right on a Secret that a store needs which names it.
	verbGet         = "get"
	resourceDesigns = "networkservicedesignversions"
	resourceSites   = "sitenetworkservices"
	resourceStores  = "artifactstores"
	resourceSecrets = "secrets"
)

// access asks the API server what a user may do.
type access struct{ reviews client.Writer }

// mayUse refuses a site of a user who may not use the design. It comes before anything is read of the
// design, of which such a user learns nothing.
func (a *access) mayUse(ctx context.Context, site string, design reference.Object) error {
	return a.may(ctx, authorizationv1.ResourceAttributes{
		Verb: verbUse, Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
		Resource: resourceDesigns, Namespace: design.Namespace, Name: design.Name,
	}, resourceSites, site, design.String(), "")
}

// mayRead refuses a store of a user who may not read the Secret that it names. Anyone who names a Secret decides
// which host the manager sends its contents to, and so can read it. Nothing is read of the Secret.
func (a *access) mayRead(ctx context.Context, s *v1alpha1.ArtifactStore, secret string) error {
	return a.may(ctx, authorizationv1.ResourceAttributes{
		Verb: verbGet, Version: "v1", Resource: resourceSecrets, Namespace: s.Namespace, Name: secret,
	}, resourceStores, s.Name, resourceSecrets+"/"+s.Namespace+"/"+secret,
		" to this user, or let a user who has it apply the store: nfo sends the Secret in spec.registry.credentialsSecretRef to the store's registry")
}

// may refuses an object, given as the plural name of its kind and its name, unless the user of the request
// has a right. on is what the right is on, in the words of the refusal, and more is how the refusal ends.
// An error in asking is a 503, after which clients repeat the request.
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
