package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
)

const (
	// storeByPrefix is the field index of the stores in the cluster registry by their prefix.
	storeByPrefix = "spec.registry.clusterRegistry.prefix"
	// manifestByRepository is the field index of manifests by <store>/<repository below the store's prefix>.
	manifestByRepository = "spec.artifacts.repository"
)

// +kubebuilder:rbac:groups=nfo.dev,resources=artifactstores;artifactmanifests,verbs=list;watch

// Index adds to a cache the field indexes that the controller uses.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return errors.Join(
		indexer.IndexField(ctx, &v1alpha1.ArtifactStore{}, storeByPrefix, prefixes),
		indexer.IndexField(ctx, &v1alpha1.ArtifactManifest{}, manifestByRepository, repositories),
	)
}

func prefixes(o client.Object) []string {
	s, ok := o.(*v1alpha1.ArtifactStore)
	if !ok || !s.InClusterRegistry() {
		return nil
	}
	l, err := s.Location()
	if err != nil {
		return nil
	}
	return []string{l.Prefix}
}

// repositories returns the index keys of a manifest: where its
// artifacts are, or were before, below the prefix of its store.
func repositories(o client.Object) []string {
	m, ok := o.(*v1alpha1.ArtifactManifest)
	if !ok {
		return nil
	}
	var keys []string
	known := map[string]bool{}
	add := func(path v1alpha1.UploadPath, artifact string) {
		key := m.Spec.ArtifactStoreRef.Name + "/" + v1alpha1.RegistryLocation{}.Repository(m.Name, path, artifact)
		if !known[key] {
			known[key] = true
			keys = append(keys, key)
		}
	}
	for _, a := range m.Spec.Artifacts {
		add(m.Spec.UploadPath, a.ArtifactName)
	}
	for _, a := range m.Status.Artifacts { // may include entries that were removed from the spec
		add(m.Spec.UploadPath, a.ArtifactName)
		if m.Status.UpgradingFrom != "" {
			add(m.Status.UpgradingFrom, a.ArtifactName)
		}
	}
	return keys
}

// place is the store and the manifests that a repository belongs to.
type place struct {
	repository string
	// store is nil if the repository belongs to no store.
	store *v1alpha1.ArtifactStore
	at    v1alpha1.RegistryLocation
	// below is the repository's name relative to the prefix of the store.
	below string
	// manifests list the repository, or have not released it yet. They are read-only.
	manifests []v1alpha1.ArtifactManifest
}

// find looks up a repository. An inert store, for example one whose prefix belongs to another store, is returned only
// if no active store has the repository, so that the refusal can say why it is inert. Its manifests are not looked up.
func (c *Controller) find(ctx context.Context, repository string) (*place, error) {
	found := &place{repository: repository}
	if len(repository) > v1alpha1.MaxRepositoryName {
		return found, nil
	}
	for end := strings.LastIndex(repository, "/"); end > 0; end = strings.LastIndex(repository[:end], "/") {
		var stores v1alpha1.ArtifactStoreList
		if err := c.o.Objects.List(ctx, &stores, client.MatchingFields{storeByPrefix: repository[:end]}, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("finding the store of repository %s: %w", repository, err)
		}
		for i := range stores.Items {
			s := &stores.Items[i]
			active := backend.Inert(s) == nil
			if found.store != nil && !active {
				continue
			}
			found.store, found.below = s, repository[end+1:]
			if active {
				return found, c.list(ctx, found)
			}
		}
	}
	return found, nil
}

func (c *Controller) list(ctx context.Context, p *place) (err error) {
	if p.at, err = p.store.Location(); err != nil {
		return err
	}
	var all v1alpha1.ArtifactManifestList
	by := client.MatchingFields{manifestByRepository: p.store.Name + "/" + p.below}
	if err := c.o.Objects.List(ctx, &all, client.InNamespace(p.store.Namespace), by, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("finding the manifests that list repository %s: %w", p.repository, err)
	}
	p.manifests = all.Items
	return nil
}

// maxManifests bounds for how many manifests of one repository rights are checked. Several manifests can list one
// repository only with the upload path StoreScoped, which AOSM used before its API version 2025-03-30.
const maxManifests = 64

// names returns the manifests on which a right for the repository may exist: those that list the repository or, if none
// does, the manifest whose name is in the path. "" means all manifests of the namespace.
func (p *place) names() []string {
	var names []string
	for i := range min(len(p.manifests), maxManifests) {
		names = append(names, p.manifests[i].Name)
	}
	if len(names) > 0 {
		return names
	}
	manifest, artifact, _ := strings.Cut(p.below, "/")
	if artifact == "" || strings.Contains(artifact, "/") {
		manifest = ""
	}
	return []string{manifest}
}

// tags returns the tags that a manifest lists in the repository.
func (p *place) tags(m *v1alpha1.ArtifactManifest) []string {
	var tags []string
	for _, a := range m.Spec.Artifacts {
		if p.at.Repository(m.Name, m.Spec.UploadPath, a.ArtifactName) == p.repository {
			tags = append(tags, a.ArtifactVersion)
		}
	}
	return tags
}
