package oci

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// cosignKind is the annotation in which `cosign save` records the kind of an entry.
const cosignKind = "kind"

// cosignKinds maps that annotation to the suffix of the satellite's tag.
var cosignKinds = map[string]string{
	"dev.cosignproject.cosign/sigs": ".sig", "dev.cosignproject.cosign/atts": ".att", "dev.cosignproject.cosign/sboms": ".sbom",
}

// Satellites finds the satellites of an artifact of the layout, as Client.Satellites does in a repository.
// These are entries of index.json that reference their subject, that are named by a tag of cosign, or that
// `cosign save` has written together with the artifact. image is the artifact's own entry.
func (l *Layout) Satellites(ctx context.Context, image ocispec.Descriptor, of *Source) ([]Satellite, error) {
	in, err := l.attachments(ctx)
	var all []Satellite
	if err == nil {
		all, err = Satellites(ctx, &attachedBeside{l, in, of.Root.Descriptor.Digest, repositoryOf(ImageName(image))}, of)
	}
	if err != nil {
		return nil, fmt.Errorf("finding signatures in %s: %w", l.path, err)
	}
	return all, nil
}

// IsSatellite reports whether an entry of index.json is attached to another entry. An entry
// with a name is an image even if it has a subject, unless the name is one that cosign uses.
func (l *Layout) IsSatellite(ctx context.Context, image ocispec.Descriptor) (bool, error) {
	names := ImageNames(image)
	switch {
	case cosignKinds[image.Annotations[cosignKind]] != "", slices.ContainsFunc(names, ofCosign):
		return true, nil
	case len(names) > 0:
		return false, nil
	}
	m, err := l.manifest(ctx, image)
	if errors.Is(err, failure.ErrNotFound) {
		return false, nil // reading the entry reports that it is missing
	}
	return m.Subject != nil, err
}

// ofCosign reports whether a name has a tag by which cosign finds the satellites of a digest.
func ofCosign(name string) bool {
	_, is := graph.SatelliteOf(tagOf(name))
	return is
}

// attachments has the entries of a layout that may be satellites.
type attachments struct {
	// about has the manifests that have a subject, by the digest of the subject.
	about map[digest.Digest][]ocispec.Descriptor
	// tagged has the entries by the tags in their names, and saved those
	// that `cosign save` has written, by the suffix of their tags.
	tagged map[string][]ocispec.Descriptor
	saved  map[string][]ocispec.Descriptor
}

// attachments reads the manifests of the layout once, for all its images: the entries, and
// then their subjects, because a signature that has been signed itself is not always an entry.
// If an entry cannot be read, it returns an error, because the entry may be a signature.
func (l *Layout) attachments(ctx context.Context) (*attachments, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.attached != nil {
		return l.attached, nil
	}
	in := &attachments{map[digest.Digest][]ocispec.Descriptor{}, map[string][]ocispec.Descriptor{}, map[string][]ocispec.Descriptor{}}
	for _, image := range l.Images {
		for _, name := range ImageNames(image) {
			in.tagged[tagOf(name)] = append(in.tagged[tagOf(name)], image)
		}
		if kind := cosignKinds[image.Annotations[cosignKind]]; kind != "" {
			in.saved[kind] = append(in.saved[kind], image)
		}
	}
	known := map[digest.Digest]bool{}
	queue := slices.Clone(l.Images)
	for i := 0; i < len(queue); i++ {
		d := queue[i]
		if known[d.Digest] {
			continue
		}
		known[d.Digest] = true
		m, err := l.manifest(ctx, d)
		switch {
		case errors.Is(err, failure.ErrNotFound) && i >= len(l.Images):
			continue // a subject may be missing in this layout
		case err != nil:
			return nil, err
		}
		if m.Subject != nil {
			in.about[m.Subject.Digest] = append(in.about[m.Subject.Digest], d)
			queue = append(queue, *m.Subject)
		}
	}
	l.attached = in
	return in, nil
}

// attachedBeside finds satellites in a layout.
type attachedBeside struct {
	*Layout
	in *attachments
	// root is the artifact. repository is the name of its entry without the tag, "" if there is none.
	root       digest.Digest
	repository string
}

// tagOf returns the tag of a name, or the name if it is only a tag.
func tagOf(name string) string { return name[strings.LastIndex(name, ":")+1:] }

// repositoryOf returns a name without its tag and digest; "" if the name is only a tag or digest.
func repositoryOf(name string) string {
	if digest.Digest(name).Validate() == nil {
		return ""
	}
	name, _, digested := strings.Cut(name, "@")
	if end := strings.LastIndexAny(name, "/:"); end >= 0 && name[end] == ':' {
		return name[:end]
	} else if end >= 0 || digested {
		return name
	}
	return ""
}

// At finds the entry with a tag. It prefers the repository of the artifact, then names without a
// repository, then what `cosign save` has written. It searches other repositories only if the artifact's
// entry has no repository: one digest can be in several repositories, with a different signer in each.
func (a *attachedBeside) At(_ context.Context, subject digest.Digest, tag string) (ocispec.Descriptor, bool, error) {
	var bare, elsewhere []ocispec.Descriptor
	for _, image := range a.in.tagged[tag] {
		for _, name := range ImageNames(image) {
			switch repository := repositoryOf(name); {
			case tagOf(name) != tag:
			case repository == "":
				bare = append(bare, image)
			case repository == a.repository:
				return image, true, nil
			case a.repository == "":
				elsewhere = append(elsewhere, image)
			}
		}
	}
	if subject == a.root {
		bare = append(bare, a.in.saved[path.Ext(tag)]...)
	}
	if found := append(bare, elsewhere...); len(found) > 0 {
		return found[0], true, nil
	}
	return ocispec.Descriptor{}, false, nil
}

func (a *attachedBeside) About(_ context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return United(a.in.about[subject.Digest], nil), nil
}

func (a *attachedBeside) Load(ctx context.Context, d ocispec.Descriptor) (*Source, error) {
	s := &Source{Place: Place{Name: a.path, Storage: a.storage, Alone: true}}
	return s, s.find(ctx, ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, true)
}
