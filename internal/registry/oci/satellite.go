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
	// maxSatellites bounds what is attached to one artifact, and to what is attached.
	maxSatellites = 1000
	// maxAttached bounds how deep one satellite is attached to another, such as a signature to an SBOM.
	maxAttached = 4
	// satellitesAtOnce is how many questions about satellites are asked at a time.
	satellitesAtOnce = 8
)

// cosignTags are what the tags of cosign's signatures, attestations and SBOMs end with.
var cosignTags = []string{".sig", ".att", ".sbom"}

// Satellite is what is attached to an image manifest: a signature, an attestation, an SBOM.
type Satellite struct {
	Source *Source
	// Subject is the digest that it is attached to.
	Subject digest.Digest
	// Tag is where cosign finds it; "" for a referrer, which names its subject itself.
	Tag string
}

// Attached finds satellites in one place.
type Attached interface {
	// At returns what a tag of cosign is at; false for nothing.
	At(ctx context.Context, subject digest.Digest, tag string) (ocispec.Descriptor, bool, error)
	// About returns the referrers of a digest.
	About(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error)
	// Load reads a satellite, without its subject.
	Load(ctx context.Context, d ocispec.Descriptor) (*Source, error)
}

// Satellites goes from the manifests of an artifact to what is attached to them, and on from there.
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

// held is how many bytes of manifests a source keeps in memory.
func (s *Source) held() (n int) {
	for _, m := range s.manifests {
		n += len(m.Bytes)
	}
	return n
}

// own are the manifests of an artifact but not its subject's, sorted by digest.
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

// satellitesOf finds what is attached to any of these, in the order of the subjects and tags.
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

// United are descriptors of one list and then of the other, each digest once.
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

// In reports whether a list of referrers has the satellite.
func (s Satellite) In(referrers []ocispec.Descriptor) bool {
	return slices.ContainsFunc(referrers, func(d ocispec.Descriptor) bool { return d.Digest == s.Source.Root.Descriptor.Digest })
}

// AsReferrer is the descriptor of a manifest as a list of referrers has it: with its artifact type, or that of its
// config, and its annotations.
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

// ReferrersTag is the tag of the list of referrers of a digest, where a registry has no API for it.
func ReferrersTag(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded() }
