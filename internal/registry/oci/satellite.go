package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

const (
	// maxSatellites bounds the satellites of one artifact, including the satellites of satellites.
	maxSatellites = 1000
	// maxAttached bounds how deep satellites are attached to each other, such as a signature to an SBOM.
	maxAttached = 4
	// satellitesAtOnce is how many subjects are processed at the same time.
	satellitesAtOnce = 8
)

// cosignTags are the suffixes of the tags of cosign's signatures, attestations and SBOMs.
var cosignTags = []string{".sig", ".att", ".sbom"}

// Satellite is an artifact that is attached to an image manifest: a signature, an attestation, an SBOM.
type Satellite struct {
	Source *Source
	// Subject is the digest that the satellite is attached to.
	Subject digest.Digest
	// Tag is the tag by which cosign finds the satellite; "" for a referrer, whose manifest references the subject.
	Tag string
}

// Attached finds satellites in one repository or layout.
type Attached interface {
	// At returns the manifest at a tag of cosign; false if there is none.
	At(ctx context.Context, subject digest.Digest, tag string) (ocispec.Descriptor, bool, error)
	// About returns the referrers of a digest.
	About(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error)
	// Load reads a satellite, without its subject.
	Load(ctx context.Context, d ocispec.Descriptor) (*Source, error)
}

// Satellites finds the satellites of an artifact's manifests, and then the satellites of these satellites.
func Satellites(ctx context.Context, in Attached, of *Source) ([]Satellite, error) {
	var all []Satellite
	known, held := map[digest.Digest]bool{}, 0
	next := of.own()
	for range maxAttached + 1 {
		for _, d := range next {
			known[d.Digest] = true
		}
		found, err := satellitesOf(ctx, in, next)
		if err != nil {
			return nil, err
		}
		all, next = append(all, found...), nil
		for _, s := range found {
			next = append(next, s.Source.own()...)
			held += s.Source.held()
		}
		next = slices.DeleteFunc(next, func(d ocispec.Descriptor) bool { return known[d.Digest] })
		switch {
		case len(all) > maxSatellites:
			return nil, fmt.Errorf("%w: there are more than %d", failure.ErrUnreadable, maxSatellites)
		case held > maxSourceBytes:
			return nil, fmt.Errorf("%w: their manifests have more than %d bytes", failure.ErrUnreadable, maxSourceBytes)
		case len(next) == 0:
			return all, nil
		}
	}
	return nil, fmt.Errorf("%w: they are attached to each other more than %d deep", failure.ErrUnreadable, maxAttached)
}

// held returns how many bytes of manifests a source keeps in memory.
func (s *Source) held() (n int) {
	for _, m := range s.manifests {
		n += len(m.Bytes)
	}
	return n
}

// own returns the manifests of an artifact without those of its subject, sorted by digest.
func (s *Source) own() []ocispec.Descriptor {
	var all []ocispec.Descriptor
	known := map[digest.Digest]bool{s.Root.Descriptor.Digest: true}
	for queue := []digest.Digest{s.Root.Descriptor.Digest}; len(queue) > 0; queue = queue[1:] {
		m, ok := s.manifests[queue[0]]
		if !ok {
			continue
		}
		all = append(all, m.Descriptor)
		for _, child := range m.Children {
			if !known[child.Digest] {
				known[child.Digest] = true
				queue = append(queue, child.Digest)
			}
		}
	}
	slices.SortFunc(all, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return all
}

// satellitesOf finds the satellites of several subjects, in the order of the subjects and tags.
func satellitesOf(ctx context.Context, in Attached, subjects []ocispec.Descriptor) ([]Satellite, error) {
	asked, ctx := errgroup.WithContext(ctx)
	asked.SetLimit(satellitesAtOnce)
	per := make([][]Satellite, len(subjects))
	for i, subject := range subjects {
		asked.Go(func() (err error) {
			per[i], err = satellitesOfOne(ctx, in, subject)
			return err
		})
	}
	if err := asked.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(per...), nil
}

func satellitesOfOne(ctx context.Context, in Attached, subject ocispec.Descriptor) ([]Satellite, error) {
	var all []Satellite
	add := func(d ocispec.Descriptor, tag string) error {
		s, err := in.Load(ctx, d)
		if err == nil {
			all = append(all, Satellite{Source: s, Subject: subject.Digest, Tag: tag})
		}
		return err
	}
	for _, suffix := range cosignTags {
		tag := ReferrersTag(subject.Digest) + suffix
		d, there, err := in.At(ctx, subject.Digest, tag)
		if err == nil && there {
			err = add(d, tag)
		}
		if err != nil {
			return nil, err
		}
	}
	about, err := in.About(ctx, subject)
	if err != nil {
		return nil, err
	}
	if len(about) > maxSatellites {
		return nil, fmt.Errorf("%w: %s has more than %d referrers", failure.ErrUnreadable, subject.Digest, maxSatellites)
	}
	for _, d := range about {
		if err := add(d, ""); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// United returns the descriptors of one list and then those of the other, each digest once.
func United(one, other []ocispec.Descriptor) []ocispec.Descriptor {
	var all []ocispec.Descriptor
	known := map[digest.Digest]bool{}
	for _, d := range slices.Concat(one, other) {
		if !known[d.Digest] {
			known[d.Digest] = true
			all = append(all, d)
		}
	}
	return all
}

// In reports whether a list of referrers contains the satellite.
func (s Satellite) In(referrers []ocispec.Descriptor) bool {
	return slices.ContainsFunc(referrers, func(d ocispec.Descriptor) bool { return d.Digest == s.Source.Root.Descriptor.Digest })
}

// AsReferrer returns the descriptor of a manifest for a list of referrers: with its
// annotations and its artifact type, which is the media type of its config if it has none.
func (m Manifest) AsReferrer() ocispec.Descriptor {
	d := m.Descriptor
	var said struct {
		ArtifactType string             `json:"artifactType"`
		Config       ocispec.Descriptor `json:"config"`
		Annotations  map[string]string  `json:"annotations"`
	}
	if json.Unmarshal(m.Bytes, &said) == nil {
		if d.ArtifactType = said.ArtifactType; d.ArtifactType == "" {
			d.ArtifactType = said.Config.MediaType
		}
		d.Annotations = said.Annotations
	}
	return d
}

// ReferrersTag returns the tag of a digest's list of referrers, for registries without the referrers API.
func ReferrersTag(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded() }
