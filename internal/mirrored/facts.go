package mirrored

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// Every replica reads these for the webhook of pods.
//
// +kubebuilder:rbac:groups=nfo.dev,resources=artifacts,verbs=list;watch

// Facts has the current state of the mirror. It is safe for concurrent use.
type Facts struct {
	// Cached reads from the manager's cache. Setup sets it.
	Cached client.Reader
	// Namespace is the namespace of the manager, which contains the mirror's store.
	Namespace string
	// Image is the image of nfo, which is not mirrored; "" if it is not known.
	Image string
	// Watched are the namespaces that the operator acts in.
	Watched reference.Watched
	// Namespaces has the labels of namespaces. Setup creates it.
	Namespaces *Namespaces
	// Agents says whether nodes can pull from the mirror at all. Setup creates it.
	Agents *Agents
}

// Setup makes Facts read from a manager's cache.
func (f *Facts) Setup(ctx context.Context, mgr manager.Manager) error {
	for _, o := range []client.Object{&v1alpha1.ArtifactStore{}, &v1alpha1.Artifact{}} {
		if _, err := mgr.GetCache().GetInformer(ctx, o); err != nil {
			return fmt.Errorf("filling the cache with %T: %w", o, err)
		}
	}
	f.Cached = mgr.GetClient()
	f.Namespaces = &Namespaces{Client: mgr.GetClient(), Cache: mgr.GetCache(), Rules: f.Rules}
	if err := mgr.Add(f.Namespaces); err != nil {
		return fmt.Errorf("adding what watches namespaces: %w", err)
	}
	f.Agents = &Agents{Live: mgr.GetAPIReader(), Namespace: f.Namespace, Rules: f.Rules}
	if err := mgr.Add(f.Agents); err != nil {
		return fmt.Errorf("adding what reads the agents: %w", err)
	}
	return nil
}

// Rules returns the rules of the mirror. If no mirror exists, they mirror nothing.
func (f *Facts) Rules(ctx context.Context) (rewrite.Rules, error) {
	mirror := &v1alpha1.ArtifactStore{}
	err := f.Cached.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: v1alpha1.MirrorName}, mirror)
	if apierrors.IsNotFound(err) {
		return rewrite.Rules{}, nil
	}
	if err != nil {
		return rewrite.Rules{}, fmt.Errorf("reading the store of the mirror: %w", err)
	}
	var all v1alpha1.ArtifactStoreList
	if err := f.Cached.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // the list is not modified
		return rewrite.Rules{}, fmt.Errorf("listing stores for the mirror: %w", err)
	}
	r := rewrite.NewRules(mirror, all.Items)
	if f.Image != "" {
		r = r.Without(f.Image)
	}
	return r, nil
}

// Selected reports whether the workloads of a namespace are mirrored. If the rules
// need the namespace's labels and these are not known, it returns an error.
func (f *Facts) Selected(ctx context.Context, r rewrite.Rules, namespace string) (bool, error) {
	if !f.Watched.Has(namespace) {
		return false, nil
	}
	if !r.Labelled() {
		return r.Namespace(namespace, nil), nil
	}
	labels, err := f.Namespaces.Labels(ctx, namespace)
	if err != nil {
		return false, err
	}
	return r.Namespace(namespace, labels), nil
}

// State returns the state of an image in the mirror for a namespace; "" if there is no Artifact for it. An Artifact
// with the right name for another image does not count.
func (f *Facts) State(ctx context.Context, namespace string, i rewrite.Image) (v1alpha1.MirrorState, error) {
	a, err := f.artifact(ctx, namespace, i)
	switch {
	case err != nil:
		return "", err
	case a == nil:
		return "", nil
	case a.Status.State == "":
		return v1alpha1.MirrorPending, nil
	}
	return a.Status.State, nil
}

// Present reports whether nodes can pull an image from the mirror for
// a namespace: the mirror has the image, and Agents.None is false.
func (f *Facts) Present(ctx context.Context, namespace string, i rewrite.Image) bool {
	if f.Agents.None() {
		return false
	}
	state, err := f.State(ctx, namespace, i)
	return err == nil && state == v1alpha1.MirrorPresent
}

func (f *Facts) artifact(ctx context.Context, namespace string, i rewrite.Image) (*v1alpha1.Artifact, error) {
	of, a := i.Artifact(namespace), &v1alpha1.Artifact{}
	err := f.Cached.Get(ctx, client.ObjectKeyFromObject(of), a)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // none exists
	case err != nil:
		return nil, fmt.Errorf("reading the Artifact of %s: %w", i, err)
	case a.Spec.SourceArtifact != of.Spec.SourceArtifact || !a.DeletionTimestamp.IsZero():
		return nil, nil //nolint:nilnil // it is for another image, or is being deleted
	}
	return a, nil
}
