package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// MaxManifest is the maximum size of a manifest in bytes. The distribution specification asks registries to accept
	// at least this size, and clients not to exceed it.
	MaxManifest = 4 << 20
	// maxDescriptors bounds the descriptors of one manifest.
	maxDescriptors = 10_000

	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerForeign  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	// ociForeign is the prefix of the media types of layers that OCI calls non-distributable.
	ociForeign = "application/vnd.oci.image.layer.nondistributable.v1.tar"
)

// ErrNotUnderstood means that the needs of a manifest are unknown: the manifest is of an unknown type, too large, or
// not JSON, or it has a field twice, so that two readers could understand it differently.
var ErrNotUnderstood = errors.New("the manifest cannot be understood")

// Descriptor is what a manifest says about content that it needs.
type Descriptor struct {
	Digest digest.Digest
	// Size is in bytes.
	Size int64
}

// Manifest is the part of a manifest that the collection and the presence check need.
type Manifest struct {
	MediaType    string
	ArtifactType string
	Annotations  map[string]string
	// Manifests are the children of an index. Contents are the config and the layers of an image.
	Manifests, Contents []Descriptor
	// Foreign are layers that clients may read elsewhere. They are kept if they are present, and are not required.
	Foreign []Descriptor
	// Subject is empty for most manifests. The subject may be missing.
	Subject digest.Digest
}

// ReadManifest reads a manifest or an index of Docker or OCI. Its only errors wrap ErrNotUnderstood.
func ReadManifest(content []byte) (Manifest, error) {
	if len(content) > MaxManifest {
		return Manifest{}, fmt.Errorf("%w: it has %d bytes, %d are the most", ErrNotUnderstood, len(content), MaxManifest)
	}
	fields, err := object(content)
	if err != nil {
		return Manifest{}, err
	}
	r := reader{fields: fields}
	m := Manifest{MediaType: r.text("mediaType"), ArtifactType: r.text("artifactType"), Subject: r.one("subject").Digest}
	r.decode("annotations", &m.Annotations)
	index, err := isIndex(m.MediaType, fields)
	if err != nil {
		return Manifest{}, err
	}
	if index {
		r.list("manifests", func(d ocispec.Descriptor) { m.Manifests = append(m.Manifests, descriptor(d)) })
		return m, r.err
	}
	config := r.one("config")
	m.Contents = append(m.Contents, descriptor(config))
	if m.ArtifactType == "" {
		m.ArtifactType = config.MediaType
	}
	r.list("layers", func(d ocispec.Descriptor) {
		if foreign(d.MediaType) {
			m.Foreign = append(m.Foreign, descriptor(d))
		} else {
			m.Contents = append(m.Contents, descriptor(d))
		}
	})
	if r.err == nil && config.Digest == "" {
		return Manifest{}, fmt.Errorf("%w: it has no config", ErrNotUnderstood)
	}
	return m, r.err
}

func descriptor(d ocispec.Descriptor) Descriptor { return Descriptor{Digest: d.Digest, Size: d.Size} }

func isIndex(mediaType string, fields map[string]json.RawMessage) (bool, error) {
	switch mediaType {
	case ocispec.MediaTypeImageIndex, dockerList:
		return true, nil
	case ocispec.MediaTypeImageManifest, dockerManifest:
		return false, nil
	case "":
		_, many := fields["manifests"]
		_, one := fields["config"]
		if many == one {
			return false, fmt.Errorf("%w: it names no media type, and is neither an index nor an image", ErrNotUnderstood)
		}
		return many, nil
	}
	return false, fmt.Errorf("%w: its media type is neither that of an image nor that of an index", ErrNotUnderstood)
}

// foreign reports whether a layer of this media type may be missing in the registry.
func foreign(mediaType string) bool {
	return mediaType == dockerForeign || strings.HasPrefix(mediaType, ociForeign)
}

// reader reads fields of a JSON object, and keeps the first error.
type reader struct {
	fields map[string]json.RawMessage
	err    error
}

func (r *reader) decode(name string, into any) {
	raw, ok := r.fields[strings.ToLower(name)]
	if !ok || r.err != nil {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil {
		r.err = fmt.Errorf("%w: its %s is not what it must be", ErrNotUnderstood, name)
	}
}

func (r *reader) text(name string) string {
	var s string
	r.decode(name, &s)
	return s
}

func (r *reader) one(name string) ocispec.Descriptor {
	raw, ok := r.fields[name]
	if !ok || r.err != nil || string(raw) == "null" {
		return ocispec.Descriptor{}
	}
	return r.descriptor(raw)
}

func (r *reader) list(name string, use func(ocispec.Descriptor)) {
	var elements []json.RawMessage
	r.decode(name, &elements)
	if len(elements) > maxDescriptors {
		r.err = fmt.Errorf("%w: it has %d %s, %d are the most", ErrNotUnderstood, len(elements), name, maxDescriptors)
	}
	for _, raw := range elements {
		if r.err != nil {
			return
		}
		use(r.descriptor(raw))
	}
}

func (r *reader) descriptor(raw json.RawMessage) (d ocispec.Descriptor) {
	fields, err := object(raw)
	if err != nil {
		r.err = err
		return d
	}
	of := reader{fields: fields}
	of.decode("mediaType", &d.MediaType)
	of.decode("digest", &d.Digest)
	of.decode("size", &d.Size)
	if of.err == nil && (d.Digest.Validate() != nil || d.Size < 0) {
		of.err = fmt.Errorf("%w: a descriptor in it has no valid digest and size", ErrNotUnderstood)
	}
	r.err = of.err
	return d
}

// object parses a JSON object into its fields by their names in lower case, because encoding/json ignores case. It fails if a
// name occurs twice. encoding/json takes the letter \u017f for an s and \u212a for a k, as do upper and lower case together.
func object(content []byte) (map[string]json.RawMessage, error) {
	unlike := func(why string) error { return fmt.Errorf("%w: %s", ErrNotUnderstood, why) }
	d := json.NewDecoder(bytes.NewReader(content))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil, unlike("no JSON object where one must be")
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		key, ok := name.(string)
		var raw json.RawMessage
		if err != nil || !ok || d.Decode(&raw) != nil {
			return nil, unlike("it is not JSON")
		}
		key = strings.ToLower(strings.ToUpper(key))
		if _, twice := fields[key]; twice {
			return nil, unlike("it has a field twice")
		}
		fields[key] = raw
	}
	if end, err := d.Token(); err != nil || end != json.Delim('}') || d.More() {
		return nil, unlike("it is not JSON")
	}
	return fields, nil
}
