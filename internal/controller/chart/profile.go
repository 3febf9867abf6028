package chart

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/reference"
)

// deployments are the profiles of the applications that deploy from one manifest.
type deployments []v1alpha1.HelmArtifactProfile

// deployed finds how definitions deploy what is in a manifest.
func (r *Reconciler) deployed(ctx context.Context, m *v1alpha1.ArtifactManifest) (deployments, error) {
	holders, err := r.Holders.Cached(ctx, inventory.Upgraded(m)) // those that will hold a StoreScoped manifest deploy from it already
	if err != nil {
		return nil, fmt.Errorf("finding what deploys %s: %w", m.Name, err)
	}
	var all deployments
	for _, h := range holders {
		if h.Kind != v1alpha1.KindDefinition {
			continue
		}
		d, err := r.definition(ctx, client.ObjectKey{Namespace: h.Namespace, Name: h.Name})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", h, err)
		}
		for _, app := range d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications {
			p := app.ArtifactProfile
			if ref := p.ArtifactManifestRef; ref == nil || ref.Name == m.Name {
				all = append(all, p.HelmArtifactProfile)
			}
		}
	}
	return all, nil
}

// definition reads a definition with all its values paths, of which the cache may have none.
func (r *Reconciler) definition(ctx context.Context, key client.ObjectKey) (*v1alpha1.NetworkFunctionDefinitionVersion, error) {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{}
	if err := r.Get(ctx, key, d, client.UnsafeDisableDeepCopy); err != nil || !livelist.Shortened(d) {
		return d, err
	}
	d = &v1alpha1.NetworkFunctionDefinitionVersion{}
	return d, r.Live.Get(ctx, key, d)
}

// profile is a chart and the paths that it is to be rendered with: all that any application gives
// which may deploy it.
func (d deployments) profile(a v1alpha1.ArtifactStatus) v1alpha1.ChartStatus {
	c := v1alpha1.ChartStatus{ArtifactName: a.ArtifactName, ArtifactVersion: a.ArtifactVersion, Digest: a.Digest}
	candidate := []reference.ChartCandidate{{Name: a.ArtifactName, Version: a.ArtifactVersion}}
	for _, p := range d {
		if _, fits, err := reference.ResolveChart(p.HelmPackageName, p.HelmPackageVersionRange, candidate); !fits || err != nil {
			continue
		}
		c.RegistryValuesPaths = append(c.RegistryValuesPaths, p.RegistryValuesPaths...)
		c.ImagePullSecretsValuesPaths = append(c.ImagePullSecretsValuesPaths, p.ImagePullSecretsValuesPaths...)
	}
	for _, paths := range []*[]string{&c.RegistryValuesPaths, &c.ImagePullSecretsValuesPaths} {
		slices.Sort(*paths)
		*paths = slices.Compact(*paths)
		*paths = (*paths)[:min(len(*paths), v1alpha1.MaxValuesPaths)]
	}
	return c
}
