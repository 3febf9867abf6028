package mirror

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// Many pages of pods are read, but not all of them: pods are large,
// and each only adds logins. Of ServiceAccounts one page is read.
var (
	pods     = listed{"api/v1", "pods", "Pod", 100, 50}
	accounts = listed{"api/v1", "serviceaccounts", "ServiceAccount", 500, 1}
)

// login is a credential to try. The zero value stands for no login.
type login struct {
	credential registry.Credential
	// version identifies the credential and changes with it; "" for no login.
	version string
}

// logins returns the logins of a Secret that fit a source, or no login for the zero name. A login
// without a host, as in a Secret of type kubernetes.io/basic-auth, counts only if a store that contains
// the image references the Secret. Otherwise anyone could get the password by creating an Artifact with
// a host of their own. Errors wrap errUnusable, or are those of the API server.
func (m *Mirror) logins(ctx context.Context, q Question, name types.NamespacedName, at reached) ([]login, error) {
	if name.Name == "" {
		return []login{{}}, nil
	}
	secret := &corev1.Secret{}
	err := m.o.API.Get(ctx, name, secret)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return nil, fmt.Errorf("reading Secret %s: %w", name, errUnusable)
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	if secret.Type != corev1.SecretTypeDockerConfigJson {
		names, err := m.storeSecrets(ctx, q)
		if err != nil {
			return nil, err
		}
		if name.Namespace != q.Namespace || !slices.Contains(names, name.Name) {
			return nil, fmt.Errorf("reading Secret %s: %w", name, errUnusable)
		}
	}
	credentials, err := credential.AllFromSecret(secret, at.location)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	var all []login
	for i, c := range credentials {
		all = append(all, login{c, fmt.Sprintf("%s/%s/%s/%d", name, secret.UID, secret.ResourceVersion, i)})
	}
	return all, nil
}

// secrets returns the Secrets that may have a login for an image, in the order in which they are tried.
func (m *Mirror) secrets(ctx context.Context, q Question) ([]types.NamespacedName, error) {
	names, err := m.podSecrets(ctx, q)
	if err != nil {
		return nil, err
	}
	ofStores, err := m.storeSecrets(ctx, q)
	if err != nil {
		return nil, err
	}
	var all []types.NamespacedName
	for _, name := range append(names, ofStores...) {
		all = append(all, types.NamespacedName{Namespace: q.Namespace, Name: name})
	}
	for _, ref := range q.Mirror.Spec.Mirror.ImagePullSecrets {
		all = append(all, types.NamespacedName{Namespace: q.Mirror.Namespace, Name: ref.Name})
	}
	return all, nil
}

// storeSecrets returns the Secrets of those stores of the Artifact's namespace that contain the image.
func (m *Mirror) storeSecrets(ctx context.Context, q Question) ([]string, error) {
	stores, err := m.storesOf(ctx, q.Image)
	var names []string
	for i := range stores {
		if ref := stores[i].Spec.Registry.CredentialsSecretRef; ref != nil && stores[i].Namespace == q.Namespace {
			names = append(names, ref.Name)
		}
	}
	return names, err
}

// pulls has the Secrets and ServiceAccounts that pods reference.
type pulls struct {
	secrets  []string
	accounts map[string]bool
	// some is true if the pods reference any, even with an invalid name.
	some bool
}

func (p *pulls) add(pod *podSpec) {
	p.secrets = appendNames(p.secrets, pod.Secrets.first...)
	p.some = p.some || pod.Secrets.some || pod.Account != ""
	if canBe(pod.Account) {
		p.accounts[pod.Account] = true
	}
}

// podSecrets returns the pull secrets of the pods of a namespace that use an image, and of their ServiceAccounts. If
// there are no such pods, for example because the workload is scaled to zero, it returns those of the templates that
// use the image, and then those of all pods and ServiceAccounts of the namespace.
func (m *Mirror) podSecrets(ctx context.Context, q Question) ([]string, error) {
	using, others, err := m.pulls(ctx, q)
	if err != nil {
		return nil, err
	}
	if using.some {
		return m.accountSecrets(ctx, q.Namespace, using.secrets, using.accounts)
	}
	names, err := m.templateSecrets(ctx, q)
	if err != nil {
		return nil, err
	}
	return m.accountSecrets(ctx, q.Namespace, appendNames(names, others...), nil)
}

// pulls returns the Secrets and ServiceAccounts of the pods of a
// namespace that use an image, and the Secrets of its other pods.
func (m *Mirror) pulls(ctx context.Context, q Question) (using pulls, others []string, err error) {
	using.accounts = map[string]bool{}
	err = m.lists.each(ctx, pods, q.Namespace, func(one livelist.Decoder) error {
		var pod struct {
			Spec podSpec `json:"spec"`
		}
		if err := one.Decode(&pod); err != nil {
			return err
		}
		if pod.Spec.uses(q.Image, q.Mirror.Spec.Mirror.PullAddress) {
			using.add(&pod.Spec)
		} else {
			others = appendNames(others, pod.Spec.Secrets.first...)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("listing the pods of %s: %w", q.Namespace, err)
	}
	return using, others, err
}

// accountSecrets adds the pull secrets of ServiceAccounts of a namespace; a nil
// map selects all of them. It makes no request if it could not add a name.
func (m *Mirror) accountSecrets(ctx context.Context, namespace string, names []string, of map[string]bool) ([]string, error) {
	if len(names) == maxLogins || of != nil && len(of) == 0 {
		return names, nil
	}
	err := m.lists.each(ctx, accounts, namespace, func(one livelist.Decoder) error {
		var account struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Secrets secretNames `json:"imagePullSecrets"`
		}
		if err := one.Decode(&account); err != nil {
			return err
		}
		if of == nil || of[account.Metadata.Name] {
			names = appendNames(names, account.Secrets.first...)
		}
		return enough(names)
	})
	if err != nil {
		return nil, fmt.Errorf("listing the ServiceAccounts of %s: %w", namespace, err)
	}
	return names, nil
}

// storesOf returns the stores that contain an image, the longest prefix first, then the one
// that became Ready first. Stores in the registry that nfo ships do not count, nor do
// stores that are refused their place or whose registry has never answered.
func (m *Mirror) storesOf(ctx context.Context, i rewrite.Image) ([]v1alpha1.ArtifactStore, error) {
	var all v1alpha1.ArtifactStoreList
	if err := m.o.Stores.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // the list is not modified
		return nil, fmt.Errorf("listing stores: %w", err)
	}
	image := v1alpha1.RegistryLocation{Host: i.Host, Prefix: i.Repository}
	var found []v1alpha1.ArtifactStore
	for n := range all.Items {
		s := &all.Items[n]
		if at, err := s.Location(); err == nil && counts(s) && at.Contains(image) {
			found = append(found, *s)
		}
	}
	slices.SortStableFunc(found, byPrecedence)
	return found, nil
}
