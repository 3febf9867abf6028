package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
)

const (
	// maxSatellites bounds what is attached to one artifact, and to what is attached.
	maxSatellites = 1000
	// maxAttached bounds how deep one satellite is attached to another, such as a signature to an SBOM.
	maxAttached = 4
	// maxReferrerPages bounds the pages of one list of referrers.
	maxReferrerPages = 10
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

// attached finds satellites in one place.
type attached interface {
	// at returns what a tag of cosign is at; false for nothing.
	at(ctx context.Context, subject digest.Digest, tag string) (ocispec.Descriptor, bool, error)
	// about returns the referrers of a digest.
	about(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error)
	// source reads a satellite, without its subject.
	source(ctx context.Context, d ocispec.Descriptor) (*Source, error)
}

// Satellites finds what is attached to an artifact of a repository, to each of its platforms, and to what is found:
// by the tags of cosign, by the referrers API, and by the referrers tag. Errors wrap ErrUnreadable when
// they are more than 1,000, or deeper than 4.
// Spec: OCI distribution-spec, "Listing Referrers" and "Referrers Tag Schema"; cosign, "Signature Specification".
func (c *Client) Satellites(ctx context.Context, repository string, of *Source) ([]Satellite, error) {
	all, err := satellites(ctx, &attachedIn{c, repository}, of)
	if err != nil {
		return nil, fmt.Errorf("finding signatures of %s: %w", of.name, err)
	}
	return all, nil
}

// satellites goes from the manifests of an artifact to what is attached to them, and on from there.
func satellites(ctx context.Context, in attached, of *Source) ([]Satellite, error) {
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
			return nil, fmt.Errorf("%w: there are more than %d", ErrUnreadable, maxSatellites)
		case held > maxSourceBytes:
			return nil, fmt.Errorf("%w: their manifests have more than %d bytes", ErrUnreadable, maxSourceBytes)
		case len(next) == 0:
			return all, nil
		}
	}
	return nil, fmt.Errorf("%w: they are attached to each other more than %d deep", ErrUnreadable, maxAttached)
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
func satellitesOf(ctx context.Context, in attached, subjects []ocispec.Descriptor) ([]Satellite, error) {
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

func satellitesOfOne(ctx context.Context, in attached, subject ocispec.Descriptor) ([]Satellite, error) {
	var all []Satellite
	add := func(d ocispec.Descriptor, tag string) error {
		s, err := in.source(ctx, d)
		if err == nil {
			all = append(all, Satellite{Source: s, Subject: subject.Digest, Tag: tag})
		}
		return err
	}
	for _, suffix := range cosignTags {
		tag := referrersTag(subject.Digest) + suffix
		d, there, err := in.at(ctx, subject.Digest, tag)
		if err == nil && there {
			err = add(d, tag)
		}
		if err != nil {
			return nil, err
		}
	}
	about, err := in.about(ctx, subject)
	if err != nil {
		return nil, err
	}
	if len(about) > maxSatellites {
		return nil, fmt.Errorf("%w: %s has more than %d referrers", ErrUnreadable, subject.Digest, maxSatellites)
	}
	for _, d := range about {
		if err := add(d, ""); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// referrersTag is the tag of the list of referrers of a digest, where a registry has no API for it.
func referrersTag(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded() }

// attachedIn finds satellites in a repository.
type attachedIn struct {
	*Client
	repository string
}

func (a *attachedIn) at(ctx context.Context, _ digest.Digest, tag string) (ocispec.Descriptor, bool, error) {
	d, err := a.Resolve(ctx, a.repository, tag)
	if errors.Is(err, ErrNotFound) {
		return d, false, nil
	}
	return d, err == nil, err
}

func (a *attachedIn) about(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	listed, _, err := a.referrers(ctx, a.repository, subject)
	if err != nil {
		return nil, err
	}
	tagged, _, err := a.taggedReferrers(ctx, a.repository, subject.Digest)
	return united(listed, tagged.Manifests), err
}

func (a *attachedIn) source(ctx context.Context, d ocispec.Descriptor) (*Source, error) {
	b, err := a.bulk(a.repository)
	if err != nil {
		return nil, err
	}
	m, err := a.Manifest(ctx, a.repository, d.Digest)
	if err != nil {
		return nil, err
	}
	s := &Source{name: a.name(a.repository, d.Digest.String()), storage: b, host: a.location.Host, repository: a.repository, alone: true}
	s.manifests = map[digest.Digest]Manifest{m.Descriptor.Digest: m}
	return s, s.find(ctx, m.Descriptor, false)
}

// referrers asks the referrers API; false where the registry has none.
func (c *Client) referrers(ctx context.Context, repository string, subject ocispec.Descriptor) (all []ocispec.Descriptor, has bool, err error) {
	ref, err := c.repository(repository)
	if err != nil {
		return nil, false, err
	}
	repo := &remote.Repository{Client: c.auth, Reference: ref, PlainHTTP: c.location.PlainHTTP, ReferrerListMaxPages: maxReferrerPages}
	if err := repo.SetReferrersCapability(true); err != nil {
		return nil, false, err
	}
	err = repo.Referrers(ctx, subject, "", func(page []ocispec.Descriptor) error {
		all = append(all, page...)
		return nil
	})
	if errors.Is(err, errdef.ErrUnsupported) {
		return nil, false, nil
	}
	if err = c.copyFailed(err); errors.Is(err, ErrUnsupported) || errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	return all, err == nil, err
}

// taggedReferrers reads the list of referrers at the referrers tag, and the digest of that list; "" for none.
func (c *Client) taggedReferrers(ctx context.Context, repository string, subject digest.Digest) (ocispec.Index, digest.Digest, error) {
	m, err := c.Tagged(ctx, repository, referrersTag(subject))
	var index ocispec.Index
	switch {
	case errors.Is(err, ErrNotFound):
		return index, "", nil
	case err != nil:
		return index, "", err
	case m.Descriptor.MediaType != ocispec.MediaTypeImageIndex || m.Descriptor.Digest == subject:
		return index, "", nil // it is something else that has this tag
	}
	if err := json.Unmarshal(m.Bytes, &index); err != nil {
		return index, "", fmt.Errorf("%w: the referrers of %s", ErrUnreadable, subject)
	}
	return index, m.Descriptor.Digest, nil
}

// united are descriptors of one list and then of the other, each digest once.
func united(one, other []ocispec.Descriptor) []ocispec.Descriptor {
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

// Attach puts a satellite that Copy has copied to where it is found: at its tag, over the digest over, "" for none,
// or in the list of referrers of its subject, which the registry keeps itself if it has the API. A list at the
// referrers tag keeps what it has. Errors as those of Tag: if somebody else changes that list at the same time, it is
// ErrTagTaken, and attaching again adds to theirs.
func (c *Client) Attach(ctx context.Context, repository string, s Satellite, over digest.Digest) error {
	if s.Tag != "" {
		return c.Tag(ctx, repository, s.Tag, s.Source, over)
	}
	if err := c.enlist(ctx, repository, s); err != nil {
		return fmt.Errorf("attaching %s to %s: %w", s.Source.Root.Descriptor.Digest, c.name(repository, s.Subject.String()), err)
	}
	return nil
}

// Attached reports whether a satellite is found where Attach puts it.
func (c *Client) Attached(ctx context.Context, repository string, s Satellite) (bool, error) {
	in := &attachedIn{c, repository}
	if s.Tag != "" {
		d, there, err := in.at(ctx, s.Subject, s.Tag)
		return there && d.Digest == s.Source.Root.Descriptor.Digest, err
	}
	all, err := in.about(ctx, ocispec.Descriptor{Digest: s.Subject})
	return s.in(all), err
}

// Standing is where a satellite stands in a repository: there reports whether it is found where Attach puts it, and over
// is the digest that its tag is at otherwise, "" for none.
func (c *Client) Standing(ctx context.Context, repository string, s Satellite) (there bool, over digest.Digest, err error) {
	if s.Tag == "" {
		there, err = c.Attached(ctx, repository, s)
		return there, "", err
	}
	at, err := c.Resolve(ctx, repository, s.Tag)
	switch {
	case errors.Is(err, ErrNotFound):
		return false, "", nil
	case err == nil && at.Digest == s.Source.Root.Descriptor.Digest:
		return true, "", nil
	}
	return false, at.Digest, err
}

// in reports whether a list of referrers has the satellite.
func (s Satellite) in(referrers []ocispec.Descriptor) bool {
	return slices.ContainsFunc(referrers, func(d ocispec.Descriptor) bool { return d.Digest == s.Source.Root.Descriptor.Digest })
}

// enlist adds a referrer to the list at the referrers tag, unless it is listed or the registry keeps the list itself.
func (c *Client) enlist(ctx context.Context, repository string, s Satellite) error {
	listed, has, err := c.referrers(ctx, repository, ocispec.Descriptor{Digest: s.Subject})
	if err != nil || s.in(listed) {
		return err
	}
	index, was, err := c.taggedReferrers(ctx, repository, s.Subject)
	switch {
	case err != nil || s.in(index.Manifests):
		return err
	case has:
		return c.fail(ErrUnavailable, errors.New("the registry has the referrer and does not list it yet"))
	}
	index.Versioned, index.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageIndex
	index.Manifests = append(index.Manifests, s.Source.Root.asReferrer())
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	m, err := ParseManifest(index.MediaType, data)
	if err != nil {
		return err
	}
	return c.moveTag(ctx, repository, referrersTag(s.Subject), was, m)
}

// asReferrer is the descriptor of a manifest as a list of referrers has it: with its artifact type, or that of its
// config, and its annotations.
func (m Manifest) asReferrer() ocispec.Descriptor {
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
