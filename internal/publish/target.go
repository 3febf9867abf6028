package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/token"
	"github.com/nfo-operator/nfo/internal/registry"
)

// target is the registry to publish to, and the manifest to publish for.
type target struct {
	manifest *v1alpha1.ArtifactManifest
	config   registry.Config
	client   *registry.Client
	// withheld is set if the user has a login for the registry that was not used, because it would be sent unencrypted.
	withheld bool
	// own has the login for the cluster's own registry; nil for another store.
	own *logins.Cluster
	// mirror is set if the target is the mirror; then the manifest is empty.
	mirror *mirrorTarget
}

// repository returns the repository of an entry.
func (t *target) repository(a v1alpha1.ManifestArtifact) string {
	return t.config.Location.Repository(t.manifest.Name, t.manifest.Spec.UploadPath, a.ArtifactName)
}

func (t *target) sealed() bool {
	return t.manifest.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded
}

// target finds the manifest am/NAME, and opens the registry of its store.
func (f *publishFlags) target(ctx context.Context, manifest string) (*target, error) {
	resource, name, ok := strings.Cut(manifest, "/")
	if !ok || name == "" || strings.Contains(name, "/") {
		return nil, plugin.Usage("the first argument is a manifest, am/NAME, not %q", manifest)
	}
	api, namespace, kind, err := plugin.ConnectFor(f.Config, f.streams, resource)
	if err != nil {
		return nil, err
	}
	if kind != v1alpha1.KindArtifactManifest {
		return nil, plugin.Usage("%s is not a manifest: artifacts are published for am/NAME", manifest)
	}
	t, err := f.find(ctx, api, client.ObjectKey{Namespace: namespace, Name: name})
	if err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	return t, nil
}

func (f *publishFlags) find(ctx context.Context, api client.Client, key client.ObjectKey) (*target, error) {
	t := &target{manifest: &v1alpha1.ArtifactManifest{}}
	if err := api.Get(ctx, key, t.manifest); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	store := &v1alpha1.ArtifactStore{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: t.manifest.Spec.ArtifactStoreRef.Name}, store); err != nil {
		return nil, fmt.Errorf("reading the store of the manifest: %w", err)
	}
	if err := publishable(t.manifest, store); err != nil {
		return nil, err
	}
	if store.InClusterRegistry() || f.Account != "" || f.Address != "" {
		return t, f.openCluster(ctx, api, t, store)
	}
	var secret *corev1.Secret
	var err error
	if f.storeCredentials {
		if secret, err = storeSecret(ctx, api, store); err != nil {
			return nil, err
		}
	}
	if t.config, err = registry.ConfigOf(store, secret); err != nil {
		return nil, fmt.Errorf("reading what store %s says of its registry: %w", store.Name, err)
	}
	if err := f.logIn(ctx, t, secret != nil); err != nil {
		return nil, err
	}
	t.client, err = registry.Open(t.config)
	return t, err
}

// openCluster opens the cluster's own registry, and logs in to it.
func (f *publishFlags) openCluster(ctx context.Context, api client.Client, t *target, store *v1alpha1.ArtifactStore) (err error) {
	t.own, err = f.Cluster(ctx, api, store)
	switch {
	case errors.Is(err, token.ErrElsewhere):
		return fmt.Errorf("%w, and leave out --service-account and --registry-address", err)
	case err != nil:
		return err
	case f.storeCredentials:
		return fmt.Errorf("store %s names no Secret: leave out --use-store-credentials", store.Name)
	}
	t.config = t.own.Config
	t.client, err = registry.Open(t.config)
	return err
}

// logIn decides which login is sent to the store's registry: that of its Secret, or the user's own.
func (f *publishFlags) logIn(ctx context.Context, t *target, fromSecret bool) (err error) {
	switch host := t.config.Location.Host; {
	case !fromSecret:
		t.withheld, err = f.Stored(ctx, &t.config)
		return err
	case f.InClear(t.config.Location):
		return fmt.Errorf("the URL of store %s says http://, and the login of its Secret would be sent unencrypted: --plain-http %s sends it", t.manifest.Spec.ArtifactStoreRef.Name, host)
	}
	t.config.Transport = f.Guard
	return nil
}

// denied says what to do after a refusal by the store's registry.
func (t *target) denied() string {
	if t.own != nil {
		return t.own.Denied
	}
	if t.withheld {
		return logins.Withheld(t.config.Location.Host)
	}
	return fmt.Sprintf("log in with 'docker login %s' or 'podman login', or use --use-store-credentials", t.config.Location.Host)
}

// ifDenied says what to do if any of the failures is a refusal; nil if none is.
func (t *target) ifDenied(failures []error) error {
	if slices.ContainsFunc(failures, func(err error) bool { return errors.Is(err, registry.ErrDenied) }) {
		return errors.New(t.denied())
	}
	return nil
}

// publishable refuses a manifest or store for which the operator would not protect what is pushed.
func publishable(m *v1alpha1.ArtifactManifest, s *v1alpha1.ArtifactStore) error {
	if m.DeletionTimestamp != nil {
		return fmt.Errorf("%s is being deleted, and what is pushed for it would go with it: wait until it has gone, apply it again, and publish then",
			v1alpha1.ResourceID(v1alpha1.KindArtifactManifest, m.Namespace, m.Name))
	}
	c := apimeta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
	if s.Refused() {
		return fmt.Errorf("%s does nothing: %s", v1alpha1.ResourceID(v1alpha1.KindArtifactStore, s.Namespace, s.Name), c.Message)
	}
	if c != nil && c.Reason == v1alpha1.ReasonPathConflict {
		return fmt.Errorf("%s does nothing, for another store is in its path: delete one of the two (%s)",
			v1alpha1.ResourceID(v1alpha1.KindArtifactStore, s.Namespace, s.Name), c.Message)
	}
	return nil
}

func storeSecret(ctx context.Context, api client.Client, s *v1alpha1.ArtifactStore) (*corev1.Secret, error) {
	if s.Spec.Registry.CredentialsSecretRef == nil {
		return nil, fmt.Errorf("store %s names no Secret: leave out --use-store-credentials", s.Name)
	}
	secret := &corev1.Secret{}
	err := api.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Spec.Registry.CredentialsSecretRef.Name}, secret)
	if apierrors.IsForbidden(err) {
		err = errors.Join(err, errors.New("log in with docker login, and leave out --use-store-credentials"))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Secret of store %s: %w", s.Name, err)
	}
	return secret, nil
}
