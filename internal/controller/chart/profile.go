package chart

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/reference"
)

const (
	// maxProfiles is in how many ways one chart is read at most. Each reading
	// takes a process, and as much processor time as one chart is allowed.
	maxProfiles = 4
	// namedDefinitions is how many definitions with the same paths a message names.
	namedDefinitions = 3
)

// deployment is how an application of a definition deploys a chart.
type deployment struct {
	definition string
	preview    bool
	v1alpha1.HelmArtifactProfile
}

// deployments are the deployments of all applications that deploy from one manifest.
type deployments []deployment

// profile is a way to deploy a chart: the values paths that it
// is rendered with, in order, and the definitions that set them.
type profile struct {
	registryPaths, secretPaths []string
	definitions                []string
	// rank is 0 if one of the definitions is not a Preview, and 1 otherwise.
	rank int
}

// key identifies the paths: profiles with the same paths have the same key.
func (p profile) key() string { return fmt.Sprintf("%q %q", p.registryPaths, p.secretPaths) }

// chartToRead is a chart in a registry, and the ways in which definitions deploy it.
type chartToRead struct {
	v1alpha1.ChartStatus
	repository string
	// profiles are the ways in which the chart is read: at least one, at most maxProfiles.
	profiles []profile
	// skipped names the definitions whose ways are not read; "" for none.
	skipped string
}

// deployed finds how definitions deploy the charts of a manifest.
func (r *Reconciler) deployed(ctx context.Context, m *v1alpha1.ArtifactManifest) (deployments, error) {
	holders, err := r.Holders.Cached(ctx, inventory.Upgraded(m)) // definitions that will hold a StoreScoped manifest already deploy from it
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
			if p := app.ArtifactProfile; deploysFrom(p.ArtifactSource, m) {
				all = append(all, deployment{d.Name, d.Spec.VersionState == v1alpha1.VersionPreview, p.HelmArtifactProfile})
			}
		}
	}
	return all, nil
}

// definition reads a definition with all its values paths, which the cache may have dropped.
func (r *Reconciler) definition(ctx context.Context, key client.ObjectKey) (*v1alpha1.NetworkFunctionDefinitionVersion, error) {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{}
	if err := r.Get(ctx, key, d, client.UnsafeDisableDeepCopy); err != nil || !livelist.Shortened(d) {
		return d, err
	}
	d = &v1alpha1.NetworkFunctionDefinitionVersion{}
	return d, r.Live.Get(ctx, key, d)
}

// deploysFrom reports whether an application may deploy from a
// manifest. In the old form, that is any manifest of its store.
func deploysFrom(s v1alpha1.ArtifactSource, m *v1alpha1.ArtifactManifest) bool {
	if s.ArtifactManifestRef != nil {
		return s.ArtifactManifestRef.Name == m.Name
	}
	return s.ArtifactStoreRef != nil && s.ArtifactStoreRef.Name == m.Spec.ArtifactStoreRef.Name
}

// profiles returns the ways in which applications may deploy a chart, those of definitions that
// are not Previews first. If no application deploys it, it returns one profile without paths.
func (d deployments) profiles(a v1alpha1.ArtifactStatus) []profile {
	candidate := []reference.ChartCandidate{{Name: a.ArtifactName, Version: a.ArtifactVersion}}
	of := map[string]profile{}
	for _, app := range d {
		if _, fits, err := reference.ResolveChart(app.HelmPackageName, app.HelmPackageVersionRange, candidate); !fits || err != nil {
			continue
		}
		p := profile{registryPaths: sorted(app.RegistryValuesPaths), secretPaths: sorted(app.ImagePullSecretsValuesPaths), rank: 1}
		key := p.key()
		if known, ok := of[key]; ok {
			p = known
		}
		if !app.preview {
			p.rank = 0
		}
		p.definitions = append(p.definitions, app.definition)
		of[key] = p
	}
	var all []profile
	for _, p := range of {
		p.definitions = sorted(p.definitions)
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b profile) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), slices.Compare(a.definitions, b.definitions), cmp.Compare(a.key(), b.key()))
	})
	if len(all) == 0 {
		return []profile{{}}
	}
	return all
}

// sorted returns the texts in order, each once.
func sorted(texts []string) []string {
	texts = slices.Clone(texts)
	slices.Sort(texts)
	return slices.Compact(texts)
}

// chart returns a chart and the ways in which it is to be read.
func (d deployments) chart(a v1alpha1.ArtifactStatus) chartToRead {
	c := chartToRead{repository: a.Repository, profiles: d.profiles(a)}
	c.ArtifactName, c.ArtifactVersion, c.Digest = a.ArtifactName, a.ArtifactVersion, a.Digest
	var skipped, registry, secrets []string
	for _, p := range c.profiles[min(len(c.profiles), maxProfiles):] {
		skipped = append(skipped, p.definitions...)
	}
	c.profiles, c.skipped = c.profiles[:min(len(c.profiles), maxProfiles)], named(sorted(skipped))
	for _, p := range c.profiles {
		registry, secrets = append(registry, p.registryPaths...), append(secrets, p.secretPaths...)
	}
	registry, secrets = sorted(registry), sorted(secrets)
	c.RegistryValuesPaths = registry[:min(len(registry), v1alpha1.MaxValuesPaths)]
	c.ImagePullSecretsValuesPaths = secrets[:min(len(secrets), v1alpha1.MaxValuesPaths)]
	return c
}

// named lists the first definitions for a message. It does not say how many
// more there are, so that the text stays the same when others are added.
func named(definitions []string) string {
	if len(definitions) <= namedDefinitions {
		return strings.Join(definitions, ", ")
	}
	return strings.Join(definitions[:namedDefinitions], ", ") + " and others"
}

// reader returns the text by which a status records that the chart was read in its current
// ways, by a reader of a revision. It includes a hash of the profiles, because other profiles
// can have the same paths in total. Definitions are hashed only if a message may name them.
func (c chartToRead) reader(revision string) string {
	var ways []string
	for _, p := range c.profiles {
		way := p.key()
		if len(c.profiles) > 1 {
			way += " " + named(p.definitions)
		}
		ways = append(ways, way)
	}
	slices.Sort(ways)
	sum := sha256.Sum256([]byte(strings.Join(append(ways, c.skipped), "\n")))
	return revision + ", profiles " + hex.EncodeToString(sum[:6])
}

// upToDate reports whether a reading is of the same digest and the
// same ways of deployment, and would give the same result now.
func (c chartToRead) upToDate(was v1alpha1.ChartStatus, reader *chart.Reader) bool {
	revision, same := strings.CutSuffix(was.Reader, c.reader(""))
	return same && was.Digest == c.Digest && reader.Current(revision)
}
