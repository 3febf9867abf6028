package purge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// ErrAccount is wrapped if a purge does not begin because its user may not
// act as the store's purge account, or because that account does not exist.
var ErrAccount = errors.New("cannot run as the store's purge account")

// UserName returns the user name of the ServiceAccount that purges
// a store. The policy nfo-tombstones allows it to write tombstones.
func UserName(store client.ObjectKey) string {
	return userPrefix(store.Namespace) + cronjob.ObjectName(store.Name)
}

func userPrefix(namespace string) string { return "system:serviceaccount:" + namespace + ":" }

// Impersonation returns the user that a purge of the store must impersonate to be allowed to write tombstones: the
// store's purge account. It returns "" if the client's own user is already a purge account of that namespace, or
// if the API server does not allow users to ask for their name. It changes nothing. Errors wrap ErrAccount if the
// user may not impersonate the account or the account does not exist, and ErrRefused if the store does not exist.
func Impersonation(ctx context.Context, api client.Client, store client.ObjectKey) (string, error) {
	self := &authenticationv1.SelfSubjectReview{}
	switch err := api.Create(ctx, self); {
	case apierrors.IsForbidden(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("asking the API server for the user's name: %w", err)
	}
	user := self.Status.UserInfo.Username
	if strings.HasPrefix(user, userPrefix(store.Namespace)) && strings.HasSuffix(user, cronjob.ObjectName("")) {
		return "", nil
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: "impersonate", Version: "v1", Resource: "serviceaccounts", Namespace: store.Namespace, Name: cronjob.ObjectName(store.Name),
		},
	}}
	if err := api.Create(ctx, review); err != nil {
		return "", fmt.Errorf("asking whether %q may impersonate %s: %w", user, UserName(store), err)
	}
	if !review.Status.Allowed {
		return "", notAllowed(user, store)
	}
	if err := accountExists(ctx, api, store); err != nil {
		return "", err
	}
	return UserName(store), nil
}

// notAllowed says which right is missing, and what to do without it.
func notAllowed(user string, store client.ObjectKey) error {
	return fmt.Errorf("%w: user %q lacks the verb impersonate on serviceaccounts %q in the namespace %q. "+
		"Only that account may write tombstones. Ask an administrator for the right, start a purge in the cluster "+
		"(kubectl create job --from=cronjob/%[3]s purge-now -n %[4]s), or add --dry-run to see what a purge would do",
		ErrAccount, user, cronjob.ObjectName(store.Name), store.Namespace)
}

// accountExists returns an error if the store's purge account
// does not exist. If the user may not read it, there is no error.
func accountExists(ctx context.Context, api client.Reader, store client.ObjectKey) error {
	key := client.ObjectKey{Namespace: store.Namespace, Name: cronjob.ObjectName(store.Name)}
	err := api.Get(ctx, key, &corev1.ServiceAccount{})
	switch {
	case err == nil, apierrors.IsForbidden(err):
		return nil
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("reading ServiceAccount %s: %w", key, err)
	}
	if err := api.Get(ctx, store, &v1alpha1.ArtifactStore{}); apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: no store %s", ErrRefused, store)
	}
	return fmt.Errorf("%w: ServiceAccount %s does not exist. The manager creates it for each store that may be purged, unless it was started "+
		"without --purger-image. Check the manager (nfo check) and the store's condition PurgeHealthy (kubectl describe artifactstore -n %s %s), "+
		"then run this again; --dry-run needs no account", ErrAccount, key, store.Namespace, store.Name)
}
