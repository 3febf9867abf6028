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

// Of pods many pages are read, and not all: they are large, and only add logins. Of ServiceAccounts it is one page.
var (
	pods     = listed{"api/v1", "pods", "Pod", 100, 50}
	accounts = listed{"api/v1", "serviceaccounts", "ServiceAccount", 500, 1}
)

// login is a credential that may be tried. The zero value stands for no login.
type login struct {
	credential registry.Credential
	// version changes with the credential; "" for none.
	version string
}

// logins are those of a Secret that fit a source, or the one of nobody for the zero name. A login without a host, as in a
// Secret of type kubernetes.io/basic-auth, counts only if a store that contains the image names the Secret: otherwise a
// password could be had by making an Artifact with a host of one's own. Errors wrap errUnusable, or are of the API
// server.
func (m *Mirror) logins(ctx context.Context, q Question, name types.NamespacedName, at reached) ([]login, error) {
	if name.Name == "" {
		return []login{{}}, nil
	}
	secret := &corev1.Secret{}
	err := m.o.API.Get(ctx, name, secret)
	switch {
	case apierrors.IsNotFound(err):
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

// secrets are the names of those that may have a login for an image, in the order in which they are tried.
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

// storeSecrets are those that the stores of the Artifact's namespace name which contain the image.
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

// pulls are the Secrets and ServiceAccounts that pods name.
type pulls struct {
	secrets  []string
	accounts map[string]bool
	// some reports whether they name any, also one that there cannot be.
	some bool
}

func (p *pulls) add(pod *podSpec) {
	p.secrets = appendNames(p.secrets, pod.Secrets.first...)
	p.some = p.some || pod.Secrets.some || pod.Account != ""
	if canBe(pod.Account) {
		p.accounts[pod.Account] = true
	}
}

// podSecrets are the pull secrets of the pods of a namespace that use an image, and of their ServiceAccounts. If none
// does, such as while it is scaled to zero, they are those of the templates that use it, and then of all pods and
// ServiceAccounts there.
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

// pulls reads what the pods of a namespace name that use an image, and which Secrets the others do.
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

// accountSecrets adds the pull secrets of ServiceAccounts of a namespace, nil for all there. None are read of which no
// name would be added.
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

// storesOf are the stores whose place contains an image, the longest prefix first, and then the one that was Ready first.
// Those in the registry that nfo ships have none, and those that may not be where they are, or have never been reached,
// do not count.
func (m *Mirror) storesOf(ctx context.Context, i rewrite.Image) ([]v1alpha1.ArtifactStore, error) {
	var all v1alpha1.ArtifactStoreList
	if err := m.o.Stores.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // it is only read
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
