package referencetest

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// Indexer adds the field indexes of a cache to a fake client.
type Indexer struct{ To *fake.ClientBuilder }

// IndexField adds an index.
func (i Indexer) IndexField(_ context.Context, o client.Object, field string, values client.IndexerFunc) error {
	i.To.WithIndex(o, field, values)
	return nil
}
