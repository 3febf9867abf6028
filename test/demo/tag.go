package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
)

func newTagCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "tag HOST/REPOSITORY[:TAG][@DIGEST] NEWTAG",
		Short:   "Add a tag to what is in a repository already",
		Example: "  demo tag $REGISTRY/acme/upf-1.0.0/upf-control@sha256:... handmade",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), requestTimeout)
			defer cancel()
			r, err := addTag(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), r)
			return nil
		},
	}
}

func addTag(ctx context.Context, from, tag string) (reference, error) {
	r, err := parseReference(from)
	if err != nil {
		return r, err
	}
	repo, err := r.open()
	if err != nil {
		return r, err
	}
	if r.digest == "" {
		r.digest = r.tag
	}
	desc, data, err := fetch(ctx, repo, r.digest)
	if err != nil {
		return r, err
	}
	if err := repo.PushReference(ctx, desc, bytes.NewReader(data), tag); err != nil {
		return r, fmt.Errorf("tagging %s: %w", from, err)
	}
	r.tag, r.digest = tag, desc.Digest.String()
	return r, nil
}

// fetch reads an image manifest or index, by tag or digest.
func fetch(ctx context.Context, repo *remote.Repository, by string) (ocispec.Descriptor, []byte, error) {
	desc, err := repo.Resolve(ctx, by)
	if err != nil {
		return desc, nil, fmt.Errorf("resolving %s: %w", by, err)
	}
	data, err := content.FetchAll(ctx, repo, desc)
	if err != nil {
		return desc, nil, fmt.Errorf("reading %s: %w", by, err)
	}
	return desc, data, nil
}

func pushIndex(ctx context.Context, to reference, digests []string) (ocispec.Descriptor, error) {
	repo, err := to.open()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, d := range digests {
		child, err := repo.Resolve(ctx, d)
		if err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("resolving %s: %w", d, err)
		}
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: child.MediaType, Digest: child.Digest, Size: child.Size})
	}
	data, err := json.Marshal(index)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("writing the index: %w", err)
	}
	desc := content.NewDescriptorFromBytes(ocispec.MediaTypeImageIndex, data)
	if err := repo.PushReference(ctx, desc, bytes.NewReader(data), to.tag); err != nil {
		return desc, fmt.Errorf("pushing %s: %w", to, err)
	}
	return desc, nil
}
