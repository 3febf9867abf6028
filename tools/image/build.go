package main

import (
	"compress/gzip"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxUnpacked is the default limit for the files of one platform's image together, in bytes.
const maxUnpacked = 64 << 20

// spec has the inputs of an image.
type spec struct {
	name              reference.NamedTagged
	version, revision string
	created           time.Time         // of the files and of the image
	roots             string            // path of the root certificates
	binaries          map[string]string // path by platform
	limit             int64             // in bytes, for the files of one platform
}

// build returns the image: an index of one image for each platform, sorted by platform.
func (s spec) build() (v1.ImageIndex, error) {
	var images []mutate.IndexAddendum
	for _, platform := range slices.Sorted(maps.Keys(s.binaries)) {
		image, err := s.image(platform)
		if err != nil {
			return nil, fmt.Errorf("making the image for %s: %w", platform, err)
		}
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			return nil, err
		}
		images = append(images, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: p}})
	}
	return mutate.AppendManifests(empty.Index, images...), nil
}

// named returns the index at the root of an archive that contains index. It sets the name
// twice: docker and skopeo find an image by the first annotation, containerd by the second.
func named(index v1.ImageIndex, name reference.NamedTagged) v1.ImageIndex {
	return mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{
		Annotations: map[string]string{
			"org.opencontainers.image.ref.name": name.Tag(),
			"io.containerd.image.name":          name.String(),
		},
	}})
}

// image returns the image for one platform, which has one layer and no base image.
func (s spec) image(platform string) (v1.Image, error) {
	if err := checkBinary(s.binaries[platform], platform); err != nil {
		return nil, err
	}
	open, err := s.rootfs(platform)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("compressing the layer: %w", err)
	}
	config, err := s.config(platform)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	history := v1.History{Created: v1.Time{Time: s.created}, CreatedBy: "make image"}
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: history})
}

// config returns the configuration of the image, which is the same in the Dockerfile.
func (s spec) config(platform string) (*v1.ConfigFile, error) {
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
	return &v1.ConfigFile{
		OS:           p.OS,
		Architecture: p.Architecture,
		Created:      v1.Time{Time: s.created},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       "65532:65532",
			Entrypoint: []string{"/nfo"},
			Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Labels: map[string]string{
				"org.opencontainers.image.title":       "nfo",
				"org.opencontainers.image.description": "Kubernetes operator that keeps what is used in an OCI registry and cleans up the rest",
				"org.opencontainers.image.source":      "https://github.com/nfo-operator/nfo",
				"org.opencontainers.image.version":     s.version,
				"org.opencontainers.image.revision":    s.revision,
			},
		},
	}, nil
}
