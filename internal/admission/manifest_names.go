package admission

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// lengthErrors refuses new artifacts whose repository name, with the prefix
// of their store, is too long. A store that does not exist yet has no prefix.
func (p *preflight) lengthErrors(ctx context.Context, was, is *v1alpha1.ArtifactManifest) (field.ErrorList, error) {
	var s v1alpha1.ArtifactStore
	err := p.cached.Get(ctx, client.ObjectKey{Namespace: is.Namespace, Name: is.Spec.ArtifactStoreRef.Name}, &s)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading store %s: %w", is.Spec.ArtifactStoreRef.Name, err)
	}
	l, err := s.Location()
	if err != nil {
		return nil, nil //nolint:nilerr // the store's own validation reports it
	}
	return tooLong(l, was, is), nil
}

// tooLong is pure.
func tooLong(l v1alpha1.RegistryLocation, was, is *v1alpha1.ArtifactManifest) field.ErrorList {
	known := map[string]bool{}
	if was != nil {
		for _, a := range was.Spec.Artifacts {
			known[l.Repository(was.Name, was.Spec.UploadPath, a.ArtifactName)] = true
		}
	}
	var all field.ErrorList
	for i, a := range is.Spec.Artifacts {
		if name := l.Repository(is.Name, is.Spec.UploadPath, a.ArtifactName); len(name) > v1alpha1.MaxRepositoryName && !known[name] {
			all = append(all, field.Invalid(field.NewPath("spec", "artifacts").Index(i).Child("artifactName"), a.ArtifactName,
				fmt.Sprintf("with the store's prefix its repository is %s, of %d characters, and registries take at most %d; use a shorter name, or a store with a shorter prefix", name, len(name), v1alpha1.MaxRepositoryName)))
		}
	}
	return all
}
