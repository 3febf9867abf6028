// Package settings keeps the ArtifactStore of the mirror equal to the administrator's settings file.
//
// Contract: [Read] reads the file, and [Keeper] applies the store from it every minute.
// Without a file, the Keeper deletes the store that it created before, which removes nothing
// from a registry. It does not delete a store that was created by others.
//
// Decision: the manager creates the store. Rejected: the chart, because an ArtifactStore can be applied only after its
// kind and the webhooks are available, which on a first installation is after Helm has applied everything; a hook of
// Helm, because no upgrade corrects its objects.
package settings

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// interval is the time between two applies of the store, and retry the time after an error.
	interval = time.Minute
	retry    = 5 * time.Second
	// limit is the timeout of one apply or delete.
	limit = 20 * time.Second
	// maxFile bounds the size of the file, in bytes.
	maxFile = 64 << 10
)

// ErrSettings is wrapped if a settings file cannot be used.
var ErrSettings = errors.New("not the settings of a mirror")

// owner is the field manager of the store.
const owner = "nfo-mirror"

// The label of the store that the Keeper creates.
const (
	madeBy = "app.kubernetes.io/managed-by"
	us     = "nfo-mirror"
)

// Settings has the spec of the mirror's store without its registry,
// as it is written in the file. nil means that there is no mirror.
type Settings map[string]any

// Read reads settings from a YAML file: {mirror: {...}, purge: {...}}, with the fields of an ArtifactStore's spec. If
// the name is empty, it returns nil. Errors wrap ErrSettings.
func Read(name string) (Settings, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrSettings, maxFile)
	}
	var s Settings
	if err == nil {
		s, err = Parse(text)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the settings of the mirror %s: %w", name, err)
	}
	return s, nil
}

// Parse parses settings. Their values are validated by the API server later.
func Parse(text []byte) (Settings, error) {
	var spec v1alpha1.ArtifactStoreSpec
	if err := yaml.UnmarshalStrict(text, &spec); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	switch {
	case spec.Mirror == nil:
		return nil, fmt.Errorf("%w: mirror is missing", ErrSettings)
	case spec.Registry.URL != "" || spec.Registry.ClusterRegistry != nil:
		return nil, fmt.Errorf("%w: registry is not a setting, because a mirror is in the registry that nfo ships", ErrSettings)
	}
	var s Settings
	if err := yaml.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	return s, nil
}

// store returns the mirror's store.
func (s Settings) store(namespace string) *unstructured.Unstructured {
	spec := map[string]any{"registry": map[string]any{"clusterRegistry": map[string]any{"prefix": v1alpha1.MirrorPrefix}}}
	for key, value := range s {
		spec[key] = value
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindArtifactStore))
	u.SetNamespace(namespace)
	u.SetName(v1alpha1.MirrorName)
	u.SetLabels(map[string]string{"app.kubernetes.io/name": "nfo", madeBy: us})
	return u
}

// +kubebuilder:rbac:groups=nfo.dev,namespace=nfo-system,resources=artifactstores,verbs=create
// +kubebuilder:rbac:groups=nfo.dev,namespace=nfo-system,resources=artifactstores,resourceNames=mirror,verbs=patch;delete

// Keeper keeps the mirror's store. It runs only on the leader.
type Keeper struct {
	// Client writes, and Live reads directly from the API server.
	Client    client.Client
	Live      client.Reader
	Namespace string
	Settings  Settings
}

// Start keeps the store until ctx ends. Without settings it does nothing more after the store was deleted.
func (k *Keeper) Start(ctx context.Context) error {
	for {
		err := k.once(ctx)
		pause := interval
		switch {
		case err != nil && ctx.Err() == nil:
			log.FromContext(ctx).Error(err, "Keeping the store of the mirror; trying again in 5 seconds")
			pause = retry
		case err == nil && k.Settings == nil:
			<-ctx.Done()
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (k *Keeper) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if k.Settings == nil {
		return k.remove(ctx)
	}
	err := k.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(k.Settings.store(k.Namespace)), client.FieldOwner(owner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying %s: %w", v1alpha1.ResourceID(v1alpha1.KindArtifactStore, k.Namespace, v1alpha1.MirrorName), err)
	}
	return nil
}

// remove deletes the store that the Keeper created, and removes its finalizer: no manifest can reference the store, and
// if the manager does not act in its own namespace, no controller would remove the finalizer.
func (k *Keeper) remove(ctx context.Context) error {
	var s v1alpha1.ArtifactStore
	err := k.Live.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: v1alpha1.MirrorName}, &s)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading the store of the mirror: %w", err)
	case s.Labels[madeBy] != us || s.Spec.Mirror == nil:
		return nil
	}
	if err := k.Client.Delete(ctx, &s, client.Preconditions{UID: &s.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the store of the mirror: %w", err)
	}
	before := s.DeepCopy()
	if controllerutil.RemoveFinalizer(&s, v1alpha1.Finalizer) {
		if err := k.Client.Patch(ctx, &s, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("releasing the store of the mirror: %w", err)
		}
	}
	return nil
}
