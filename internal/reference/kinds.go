package reference

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// pageSize bounds one answer of a live list, in objects.
const pageSize = 500

// lister lists the objects of one kind, in pages of size; 0 for all at once.
type lister func(ctx context.Context, r client.Reader, size int64, opts ...client.ListOption) ([]client.Object, error)

// holderKind is a kind whose objects hold others.
type holderKind struct {
	name string
	list lister
}

var holderKinds = []holderKind{
	{v1alpha1.KindArtifactManifest, list(func(l *v1alpha1.ArtifactManifestList) []v1alpha1.ArtifactManifest { return l.Items })},
	{v1alpha1.KindDefinition, list(func(l *v1alpha1.NetworkFunctionDefinitionVersionList) []v1alpha1.NetworkFunctionDefinitionVersion {
		return l.Items
	})},
	{v1alpha1.KindDesign, list(func(l *v1alpha1.NetworkServiceDesignVersionList) []v1alpha1.NetworkServiceDesignVersion {
		return l.Items
	})},
}

// list makes the function that lists one kind: all at once, or page by page when a page size
// is given. The cache knows no pages, and says of every list that it could be continued.
func list[T, L any, PT interface {
	*T
	client.Object
}, PL interface {
	*L
	client.ObjectList
}](items func(PL) []T) lister {
	return func(ctx context.Context, r client.Reader, size int64, opts ...client.ListOption) ([]client.Object, error) {
		var all []client.Object
		for token := ""; ; {
			page := PL(new(L))
			paged := append(slices.Clip(opts), client.Limit(size), client.Continue(token))
			if err := r.List(ctx, page, paged...); err != nil {
				return nil, fmt.Errorf("listing %T: %w", page, err)
			}
			got := items(page)
			for i := range got {
				all = append(all, PT(&got[i]))
			}
			if token = page.GetContinue(); token == "" || size == 0 {
				return all, nil
			}
		}
	}
}
