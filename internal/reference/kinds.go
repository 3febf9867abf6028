package reference

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// pageSize is the page size of a live list, in objects.
const pageSize = 500

// lister lists the objects of one kind in pages of size objects; 0 lists all at once.
type lister func(ctx context.Context, r client.Reader, size int64, opts ...client.ListOption) ([]client.Object, error)

// holderKind is a kind whose objects can hold others, with the kinds that they can hold.
type holderKind struct {
	name  string
	holds []string
	list  lister
	// crossNamespace is true if its objects can hold objects in other namespaces.
	crossNamespace bool
}

// in returns the namespace in which to find the holders of an object in the given namespace; "" means all.
func (k holderKind) in(namespace string) string {
	if k.crossNamespace {
		return ""
	}
	return namespace
}

// Blank returns an empty object of the kind to read into, or nil for kinds that are not nfo's.
func (o Object) Blank() client.Object {
	switch o.Kind {
	case v1alpha1.KindArtifactStore:
		return &v1alpha1.ArtifactStore{}
	case v1alpha1.KindArtifactManifest:
		return &v1alpha1.ArtifactManifest{}
	case v1alpha1.KindDefinition:
		return &v1alpha1.NetworkFunctionDefinitionVersion{}
	case v1alpha1.KindDesign:
		return &v1alpha1.NetworkServiceDesignVersion{}
	case v1alpha1.KindSite:
		return &v1alpha1.SiteNetworkService{}
	}
	return nil
}

var holderKinds = []holderKind{
	{
		name: v1alpha1.KindArtifactManifest, holds: []string{v1alpha1.KindArtifactStore},
		list: list(func(l *v1alpha1.ArtifactManifestList) []v1alpha1.ArtifactManifest { return l.Items }),
	}, {
		name: v1alpha1.KindDefinition, holds: []string{v1alpha1.KindArtifactManifest, v1alpha1.KindArtifactStore},
		list: list(func(l *v1alpha1.NetworkFunctionDefinitionVersionList) []v1alpha1.NetworkFunctionDefinitionVersion {
			return l.Items
		}),
	}, {
		name: v1alpha1.KindDesign, holds: []string{v1alpha1.KindArtifactManifest, v1alpha1.KindDefinition, v1alpha1.KindArtifactStore},
		list: list(func(l *v1alpha1.NetworkServiceDesignVersionList) []v1alpha1.NetworkServiceDesignVersion {
			return l.Items
		}),
	}, {
		name: v1alpha1.KindSite, holds: []string{v1alpha1.KindDesign}, crossNamespace: true,
		list: list(func(l *v1alpha1.SiteNetworkServiceList) []v1alpha1.SiteNetworkService { return l.Items }),
	},
}

// holdersOf returns the kinds whose objects can hold an object of the given kind.
func holdersOf(subject string) []holderKind {
	return slices.DeleteFunc(slices.Clone(holderKinds), func(k holderKind) bool { return !slices.Contains(k.holds, subject) })
}

// list returns the function that lists one kind: all at once, or page by page if a page size is
// given. The cache does not support pages, and marks every limited list as one that continues.
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
