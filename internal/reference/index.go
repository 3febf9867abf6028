package reference

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Field is the name of the field index of the objects that an object holds.
const Field = "nfo.dev/references"

// Key returns the index key of an object. No part of an object's
// identity can contain a slash, so two objects never share a key.
func Key(o Object) string { return strings.Join([]string{o.Kind, o.Namespace, o.Name}, "/") }

// Keys returns the index keys of the objects that an object holds, each once.
func Keys(o client.Object) []string {
	var keys []string
	seen := map[string]bool{}
	for _, r := range Kept(o) {
		if k := Key(r.To); !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// Index makes the cache index every kind that references others.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	for _, o := range []client.Object{
		&v1alpha1.ArtifactManifest{},
		&v1alpha1.NetworkFunctionDefinitionVersion{},
		&v1alpha1.NetworkServiceDesignVersion{},
		&v1alpha1.SiteNetworkService{},
	} {
		if err := indexer.IndexField(ctx, o, Field, Keys); err != nil {
			return fmt.Errorf("indexing references of %T: %w", o, err)
		}
	}
	return nil
}
