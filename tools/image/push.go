package main

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// push pushes the only image of archive, with all platforms, to the tag, and prints its reference by digest.
func push(ctx context.Context, archive, tag string, out io.Writer) error {
	to, err := name.NewTag(tag, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("%q is not registry/repository:tag, all three of which a push needs: %w", tag, err)
	}
	return withIndex(archive, func(top v1.ImageIndex) error {
		manifest, err := top.IndexManifest()
		if err != nil {
			return fmt.Errorf("reading %s: %w", archive, err)
		}
		if n := len(manifest.Manifests); n != 1 {
			return fmt.Errorf("%s has %d images, and a tag is for one: push what `make image` writes", archive, n)
		}
		digest := manifest.Manifests[0].Digest
		index, err := top.ImageIndex(digest)
		if err != nil {
			return fmt.Errorf("reading %s: %w", archive, err)
		}
		if err := remote.WriteIndex(to, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("pushing to %s: %w", to, err)
		}
		fmt.Fprintln(out, to.Context().Digest(digest.String()))
		return nil
	})
}
