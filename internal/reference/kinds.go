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

// holderKind is a kind whose objects hold others, and the kinds of what they can hold.
type holderKind struct {
	name  string
	holds []string
	list  lister
	// abroad: its objects can hold what is in other namespaces.
	abroad bool
}

// in is the namespace to look in for holders of what is in one; "" for all.
func (k holderKind) in(namespace string) string {
	if k.abroad {
		return ""
	}
	return namespace
}

// Blank is an empty object of the kind, to read it into; nil for other kinds.
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
		name: v1alpha1.KindSite, holds: []string{v1alpha1.KindDesign}, abroad: true,
		list: list(func(l *v1alpha1.SiteNetworkServiceList) []v1alpha1.SiteNetworkService { return l.Items }),
	},
}

// holdersOf returns the kinds that can hold a kind.
func holdersOf(subject string) []holderKind {
	return slices.DeleteFunc(slices.Clone(holderKinds), func(k holderKind) bool { return !slices.Contains(k.holds, subject) })
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
