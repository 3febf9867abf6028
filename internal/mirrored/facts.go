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

// What every replica reads for the pods' webhook.
//
// +kubebuilder:rbac:groups=nfo.dev,resources=artifacts,verbs=list;watch

// Facts are what is known of the mirror. They are safe for concurrent use.
type Facts struct {
	// Cached reads the manager's cache. Setup sets it.
	Cached client.Reader
	// Namespace is the manager's, in which the store of the mirror is.
	Namespace string
	// Image is nfo's own, which is not mirrored; "" if it is not known.
	Image string
	// Watched are the namespaces that the operator acts in.
	Watched reference.Watched
	// Namespaces have the labels of namespaces. Setup makes them.
	Namespaces *Namespaces
	// Agents know whether nodes can pull at all. Setup makes them.
	Agents *Agents
}

// Setup has the facts read from a manager's cache.
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

// Rules reads the rules, those without a mirror if none exists.
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
	if err := f.Cached.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // it is only read
		return rewrite.Rules{}, fmt.Errorf("listing stores for the mirror: %w", err)
	}
	r := rewrite.NewRules(mirror, all.Items)
	if f.Image != "" {
		r = r.Without(f.Image)
	}
	return r, nil
}

// Selected reports whether the workloads of a namespace are mirrored. Until its labels are known, where they matter,
// they are not.
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

// State is what the mirror has of an image for a namespace; "" without an Artifact of it. An Artifact of this name
// for another image does not count.
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

// Present reports whether nodes can pull an image from the mirror for a namespace: the mirror has it, and not all nodes
// lack their agent.
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
		return nil, nil //nolint:nilnil // it is of another image, or goes
	}
	return a, nil
}
