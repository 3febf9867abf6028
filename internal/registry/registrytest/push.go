package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
)

// PushImage pushes a small image over plain HTTP and tags it. With tag "",
// the image has no tag. The same seed and platform result in the same digest.
func PushImage(ctx context.Context, host, repository, tag, seed string) (ocispec.Descriptor, error) {
	repo, err := open(host, repository)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return pushImage(ctx, repo, tag, seed, "linux/amd64")
}

// PushIndex pushes one image for each platform (os/arch or
// os/arch/variant), without tags, and a tagged index of these images.
func PushIndex(ctx context.Context, host, repository, tag string, platforms []string, seed string) (ocispec.Descriptor, error) {
	repo, err := open(host, repository)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	for _, platform := range platforms {
		child, err := pushImage(ctx, repo, "", seed, platform)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		child.Platform = parsePlatform(platform)
		index.Manifests = append(index.Manifests, child)
	}
	return pushManifest(ctx, repo, tag, ocispec.MediaTypeImageIndex, index)
}

// PushReferrer pushes an untagged artifact, such as a signature, with a given type and subject. If the registry
// has no referrers API, oras-go adds the artifact to the index at the tag sha256-<hex>, as other clients do.
func PushReferrer(ctx context.Context, host, repository string, subject ocispec.Descriptor, artifactType string, data []byte) (ocispec.Descriptor, error) {
	repo, err := open(host, repository)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := pushBlob(ctx, repo, ocispec.DescriptorEmptyJSON, ocispec.DescriptorEmptyJSON.Data); err != nil {
		return ocispec.Descriptor{}, err
	}
	layer := content.NewDescriptorFromBytes("application/octet-stream", data)
	if err := pushBlob(ctx, repo, layer, data); err != nil {
		return ocispec.Descriptor{}, err
	}
	config := ocispec.DescriptorEmptyJSON
	config.Data = nil
	return pushManifest(ctx, repo, "", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType,
		Config:       config,
		Layers:       []ocispec.Descriptor{layer},
		Subject:      &ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
	})
}

// PushArtifact pushes one blob with a config, as Helm does with a chart.
func PushArtifact(ctx context.Context, host, repository, tag, configType, layerType string, config, layer []byte) (ocispec.Descriptor, error) {
	repo, err := open(host, repository)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return pushSingle(ctx, repo, tag, content.NewDescriptorFromBytes(configType, config), config, content.NewDescriptorFromBytes(layerType, layer), layer)
}

// TagDigest returns the digest that a tag is at.
func TagDigest(ctx context.Context, host, repository, tag string) (digest.Digest, error) {
	repo, err := open(host, repository)
	if err != nil {
		return "", err
	}
	desc, err := repo.Resolve(ctx, tag)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", tag, err)
	}
	return desc.Digest, nil
}

func open(host, repository string) (*remote.Repository, error) {
	repo, err := remote.NewRepository(host + "/" + repository)
	if err != nil {
		return nil, fmt.Errorf("opening %s/%s: %w", host, repository, err)
	}
	repo.PlainHTTP = true
	return repo, nil
}

func pushImage(ctx context.Context, repo *remote.Repository, tag, seed, platform string) (ocispec.Descriptor, error) {
	plain, packed, err := layerOf(seed + "\n" + platform + "\n")
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("packing a layer: %w", err)
	}
	created := time.Unix(0, 0).UTC()
	config, err := json.Marshal(ocispec.Image{
		Created:  &created,
		Platform: *parsePlatform(platform),
		Config:   ocispec.ImageConfig{Cmd: []string{"/seed"}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(plain)}},
		History:  []ocispec.History{{Created: &created, CreatedBy: "COPY seed /seed"}},
	})
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("writing a config: %w", err)
	}
	return pushSingle(ctx, repo, tag,
		content.NewDescriptorFromBytes(ocispec.MediaTypeImageConfig, config), config,
		content.NewDescriptorFromBytes(ocispec.MediaTypeImageLayerGzip, packed), packed)
}

func pushSingle(ctx context.Context, repo *remote.Repository, tag string, config ocispec.Descriptor, configData []byte, layer ocispec.Descriptor, layerData []byte) (ocispec.Descriptor, error) {
	if err := pushBlob(ctx, repo, config, configData); err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := pushBlob(ctx, repo, layer, layerData); err != nil {
		return ocispec.Descriptor{}, err
	}
	return pushManifest(ctx, repo, tag, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	})
}

func pushBlob(ctx context.Context, repo *remote.Repository, desc ocispec.Descriptor, data []byte) error {
	if err := repo.Blobs().Push(ctx, desc, bytes.NewReader(data)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return fmt.Errorf("pushing a blob to %s: %w", repo.Reference, err)
	}
	return nil
}

func pushManifest(ctx context.Context, repo *remote.Repository, tag, mediaType string, manifest any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(manifest)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("writing a manifest: %w", err)
	}
	desc := content.NewDescriptorFromBytes(mediaType, data)
	reference := tag
	if reference == "" {
		reference = desc.Digest.String()
	}
	if err := repo.PushReference(ctx, desc, bytes.NewReader(data), reference); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("pushing %s to %s: %w", reference, repo.Reference, err)
	}
	return desc, nil
}

// layerOf returns a tar archive with one file, uncompressed and with gzip.
func layerOf(text string) (plain, packed []byte, err error) {
	var tarred, zipped bytes.Buffer
	archive := tar.NewWriter(&tarred)
	if err := archive.WriteHeader(&tar.Header{Name: "seed", Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(0, 0)}); err != nil {
		return nil, nil, err
	}
	if _, err := archive.Write([]byte(text)); err != nil {
		return nil, nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, nil, err
	}
	packer := gzip.NewWriter(&zipped)
	if _, err := packer.Write(tarred.Bytes()); err != nil {
		return nil, nil, err
	}
	err = packer.Close()
	return tarred.Bytes(), zipped.Bytes(), err
}

func parsePlatform(platform string) *ocispec.Platform {
	parts := append(strings.SplitN(platform, "/", 3), "", "")
	return &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}
