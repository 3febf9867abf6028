// Package settings keeps the ArtifactStore of the mirror as the administrator's file says.
//
// Contract: [Read] reads the file, and [Keeper] applies the store from it, again each minute. Without a file it deletes
// the store that it has made before, which removes nothing in a registry, and leaves one that somebody else has made.
//
// Decision: the manager makes the store. Rejected: the chart, because an ArtifactStore can be applied only when its kind
// and the webhooks answer, which on a first installation is after Helm has applied everything; and a hook of Helm, whose
// objects no upgrade corrects.
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
	// interval is how often the store is applied, and retry how soon again after an error.
	interval = time.Minute
	retry    = 5 * time.Second
	// limit bounds one time.
	limit = 20 * time.Second
	// maxFile bounds the file, in bytes.
	maxFile = 64 << 10
)

// ErrSettings is wrapped where a file of settings cannot be used.
var ErrSettings = errors.New("not the settings of a mirror")

// owner is the field manager of the store.
const owner = "nfo-mirror"

// The label by which a store is known that was made here.
const (
	madeBy = "app.kubernetes.io/managed-by"
	us     = "nfo-mirror"
)

// Settings are the spec of the mirror's store without its registry, as they are written. nil means: no mirror.
type Settings map[string]any

// Read reads settings from a YAML file: {mirror: {...}, purge: {...}}, with the fields of an ArtifactStore's spec. Without
// a name there are none. Errors wrap ErrSettings.
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

// Parse reads settings. The API server checks their values.
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

// store is the mirror's.
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

// Keeper keeps the mirror's store. It runs on one replica, that with the lease.
type Keeper struct {
	// Client writes, and Live reads the API server itself.
	Client    client.Client
	Live      client.Reader
	Namespace string
	Settings  Settings
}

// Start keeps the store until ctx ends. Without settings it is done when the store does not exist.
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

// remove deletes the store that was made here, and takes its finalizer off: no manifest can name it, and where the
// manager does not act in its own namespace nothing else would.
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
