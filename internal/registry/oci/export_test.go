package oci

import (
	"context"
	"io"
	"sync/atomic"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
)

// CountFetches counts the parts of a layout that are read from now on.
func CountFetches(l *Layout) *atomic.Int64 {
	counted := &countedStorage{ReadOnlyStorage: l.storage}
	l.storage = counted
	return &counted.fetched
}

type countedStorage struct {
	content.ReadOnlyStorage
	fetched atomic.Int64
}

func (c *countedStorage) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	c.fetched.Add(1)
	return c.ReadOnlyStorage.Fetch(ctx, d)
}
