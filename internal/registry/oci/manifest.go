package oci

import (
	// The hash functions of both registered algorithms, so that
	// digests of either can be verified (OCI image-spec, "Digests").
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"mime"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/decode"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// Media types of manifests in addition to those of the OCI image-spec.
const (
	MediaTypeDockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	// MediaTypeArtifactManifest was dropped from the OCI specification before 1.1 and is
	// still found in registries.
	MediaTypeArtifactManifest = "application/vnd.oci.artifact.manifest.v1+json"
)

// MaxManifestBytes bounds an image manifest, as registries do (OCI distribution-spec,
// "Pushing Manifests").
const MaxManifestBytes = 4 << 20

// Manifest is an image manifest as it is stored, and what it references.
type Manifest struct {
	// Descriptor has the media type, digest and size.
	Descriptor ocispec.Descriptor
	// Children are those of an index, in its order. In Children,
	// Blobs and Subject only media type, digest and size are set.
	Children []ocispec.Descriptor
	// Blobs are those of an image: its config, if it has one, then its layers.
	Blobs []ocispec.Descriptor
	// Subject is the manifest that this manifest is attached to, or nil.
	Subject *ocispec.Descriptor
	// Bytes are the stored bytes. Only these bytes have the digest, so only they can restore the manifest.
	Bytes []byte
}

// ConfigMediaType returns the media type of an image's config, "" for a manifest that is not an image.
func (m Manifest) ConfigMediaType() string {
	switch m.Descriptor.MediaType {
	case ocispec.MediaTypeImageManifest, MediaTypeDockerManifest:
		return m.Blobs[0].MediaType
	}
	return ""
}

// body has the fields of every form of manifest, so that a body that mixes two forms is noticed.
type body struct {
	MediaType decode.Once[string] `json:"mediaType"`
	Manifests decode.Descriptors  `json:"manifests"`
	Config    decode.Descriptor   `json:"config"`
	Layers    decode.Descriptors  `json:"layers"`
	Blobs     decode.Descriptors  `json:"blobs"`
	Subject   decode.Descriptor   `json:"subject"`
}

// ParseManifest parses a body that was served as contentType: an OCI image manifest, index or artifact manifest,
// or a docker schema 2 manifest or list. The digest of the result is SHA-256. Errors wrap ErrUnreadable: an
// unknown form, a body that contradicts contentType or itself, or in which a field that is read occurs twice, in
// any case, an invalid digest, a list of more than 10,000 digests. Such a body must not be read as one without
// references, because another reader may find references in it. Of descriptors only media type, digest and size are read.
func ParseManifest(contentType string, data []byte) (Manifest, error) {
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		return Manifest{}, decode.NotJSON(err)
	}
	mediaType, err := agreed(contentType, b.MediaType.Value)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{
		Descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))},
		Bytes:      data,
	}
	if b.Subject.Given() {
		m.Subject = &b.Subject.Value
	}
	if err := m.fill(&b); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// agreed returns the media type on which the header and the body agree. The body may leave it out.
func agreed(contentType, inBody string) (string, error) {
	header, _, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "":
		header = inBody
	case err != nil:
		return "", fmt.Errorf("%w: its content type is %.100q", failure.ErrUnreadable, contentType)
	}
	if inBody != "" && inBody != header {
		return "", fmt.Errorf("%w: it is served as %.100q and says that it is %.100q", failure.ErrUnreadable, header, inBody)
	}
	return header, nil
}

// fill sets the fields that belong to the form of the body, and refuses fields of another form.
func (m *Manifest) fill(b *body) error {
	switch m.Descriptor.MediaType {
	case ocispec.MediaTypeImageIndex, MediaTypeDockerManifestList:
		if !b.Manifests.Given() || b.Config.Given() || b.Layers.Given() || b.Blobs.Given() {
			return fmt.Errorf("%w: it is served as an index and is not one", failure.ErrUnreadable)
		}
		m.Children = b.Manifests.List
	case ocispec.MediaTypeImageManifest, MediaTypeDockerManifest:
		if !b.Config.Given() || b.Manifests.Given() || b.Blobs.Given() {
			return fmt.Errorf("%w: it is served as an image and is not one", failure.ErrUnreadable)
		}
		m.Blobs = append([]ocispec.Descriptor{b.Config.Value}, b.Layers.List...)
	case MediaTypeArtifactManifest:
		if b.Config.Given() || b.Manifests.Given() || b.Layers.Given() {
			return fmt.Errorf("%w: it is served as an artifact and is not one", failure.ErrUnreadable)
		}
		m.Blobs = b.Blobs.List
	default:
		return fmt.Errorf("%w: its media type is %.100q", failure.ErrUnreadable, m.Descriptor.MediaType)
	}
	return nil
}
