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
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	// podsPage and podsPages bound what is read of pods: they are large, and only add logins.
	podsPage  = 100
	podsPages = 50
	// accountsPage bounds what is read of ServiceAccounts.
	accountsPage = 500
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
type pulls struct{ secrets, accounts []string }

func (p *pulls) add(pod *corev1.Pod) {
	p.secrets = appendNames(p.secrets, pod.Spec.ImagePullSecrets)
	if name := pod.Spec.ServiceAccountName; name != "" && !slices.Contains(p.accounts, name) {
		p.accounts = append(p.accounts, name)
	}
}

func appendNames(names []string, refs []corev1.LocalObjectReference) []string {
	for _, ref := range refs {
		if ref.Name != "" && !slices.Contains(names, ref.Name) && len(names) < maxLogins {
			names = append(names, ref.Name)
		}
	}
	return names
}

// podSecrets are the pull secrets of the pods of a namespace that use an image, and of their ServiceAccounts. If none
// does, such as while it is scaled to zero, they are those of the templates that use it, and then of all pods and
// ServiceAccounts there.
func (m *Mirror) podSecrets(ctx context.Context, q Question) ([]string, error) {
	of, others, err := m.pulls(ctx, q)
	if err != nil {
		return nil, err
	}
	var accounts corev1.ServiceAccountList
	if err := m.o.API.List(ctx, &accounts, client.InNamespace(q.Namespace), client.Limit(accountsPage)); err != nil {
		return nil, fmt.Errorf("listing the ServiceAccounts of %s: %w", q.Namespace, err)
	}
	all := len(of.accounts)+len(of.secrets) == 0
	if all {
		of = others
	}
	names := of.secrets
	if all {
		templates, err := m.templateSecrets(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, name := range of.secrets {
			templates = appendNames(templates, []corev1.LocalObjectReference{{Name: name}})
		}
		names = templates
	}
	for i := range accounts.Items {
		if all || slices.Contains(of.accounts, accounts.Items[i].Name) {
			names = appendNames(names, accounts.Items[i].ImagePullSecrets)
		}
	}
	return names, nil
}

// pulls reads what the pods of a namespace name that use an image, and what the others do.
func (m *Mirror) pulls(ctx context.Context, q Question) (using, others pulls, err error) {
	address, next := q.Mirror.Spec.Mirror.PullAddress, ""
	for range podsPages {
		var pods corev1.PodList
		if err := m.o.API.List(ctx, &pods, client.InNamespace(q.Namespace), client.Limit(podsPage), client.Continue(next)); err != nil {
			return using, others, fmt.Errorf("listing the pods of %s: %w", q.Namespace, err)
		}
		for i := range pods.Items {
			if uses(&pods.Items[i], q.Image, address) {
				using.add(&pods.Items[i])
			} else {
				others.add(&pods.Items[i])
			}
		}
		if next = pods.Continue; next == "" {
			break
		}
	}
	return using, others, nil
}

// uses reports whether a pod has a container of an image, by either of its names.
func uses(pod *corev1.Pod, image rewrite.Image, address string) bool {
	is := func(text string) bool {
		if i, ok := rewrite.Original(text, address); ok {
			return i == image
		}
		i, err := rewrite.Parse(text)
		return err == nil && i == image
	}
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			if is(containers[i].Image) {
				return true
			}
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if is(pod.Spec.EphemeralContainers[i].Image) {
			return true
		}
	}
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Image != nil && is(v.Image.Reference) })
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
