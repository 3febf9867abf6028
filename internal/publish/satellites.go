package publish

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/progress"
	"github.com/nfo-operator/nfo/internal/registry"
)

// satellite is a signature, an attestation or an SBOM that goes with an artifact.
type satellite struct {
	registry.Satellite
	// there is set if the store's registry has it already. over is the digest
	// that its tag is at in that registry, if it is another one; "" for none.
	there bool
	over  digest.Digest
}

// inspectSatellites finds what is attached to an entry's source, and checks which satellites the store's registry has.
func (p *publication) inspectSatellites(ctx context.Context, i *item) error {
	if p.withoutSatellites || i.candidate == nil || i.candidate.satellites == nil || i.sameContent {
		return nil
	}
	found, err := i.candidate.satellites(ctx, i.source)
	if err != nil {
		return fmt.Errorf("%w; --without-signatures copies the image alone", err)
	}
	for _, s := range found {
		one, err := p.inspectSatellite(ctx, i, s)
		if err != nil {
			return err
		}
		i.satellites = append(i.satellites, one)
	}
	return nil
}

func (p *publication) inspectSatellite(ctx context.Context, i *item, s registry.Satellite) (satellite, error) {
	there, over, err := p.target.client.Standing(ctx, i.repository, s)
	return satellite{Satellite: s, there: there, over: over}, err
}

// attachable returns an error if the satellites of an entry may not be pushed, with what to do instead.
func (i *item) attachable(sealed, overwrite bool) error {
	for _, s := range i.satellites {
		is := fmt.Sprintf("the tag %s of a signature is at %s, and %s has another one", s.Tag, s.over, i.candidate.written)
		switch {
		case s.over == "":
		case sealed:
			return fmt.Errorf("%s: the manifest is sealed (artifactManifestState Uploaded), and its signatures stay as they are; --without-signatures leaves it", is)
		case !overwrite:
			return fmt.Errorf("%s: --overwrite replaces it, and nothing keeps what it was at; --without-signatures leaves it", is)
		}
	}
	return nil
}

// replaced returns the digests of the satellites in the registry that those of an entry replace.
func (i *item) replaced() (all []string) {
	for _, s := range i.satellites {
		if s.over != "" {
			all = append(all, s.over.String())
		}
	}
	return all
}

// unattached returns the satellites that the store's registry lacks.
func (i *item) unattached() []*satellite {
	var all []*satellite
	for n := range i.satellites {
		if !i.satellites[n].there {
			all = append(all, &i.satellites[n])
		}
	}
	return all
}

// size returns the bytes of an entry and of the satellites that must be pushed.
func (i *item) size() int64 {
	n := i.source.Size
	for _, s := range i.unattached() {
		n += s.Source.Size
	}
	return n
}

// attach copies the missing satellites. A satellite of a satellite is copied after its subject.
func (p *publication) attach(ctx context.Context, i *item, bar *progress.Bar) error {
	for _, s := range i.unattached() {
		if err := p.target.client.CopyWith(ctx, i.repository, s.Source, bar.Add, p.copyOptions()); err != nil {
			return err
		}
		if err := p.target.client.Attach(ctx, i.repository, s.Satellite, s.over); err != nil {
			return err
		}
	}
	return nil
}

// verifySatellites checks that each satellite is complete, and is found at its tag or among the referrers of its subject.
func (p *publication) verifySatellites(ctx context.Context, i *item) error {
	for _, s := range i.satellites {
		if err := p.target.client.VerifyWith(ctx, i.repository, s.Tag, s.Source.Root.Descriptor, registry.Selection{Of: i.source}); err != nil {
			return err
		}
		if s.Tag != "" {
			continue // it is found at its tag
		}
		attached, err := p.target.client.Attached(ctx, i.repository, s.Satellite)
		if err == nil && !attached {
			err = fmt.Errorf("%w: %s is not found among the referrers of %s", registry.ErrNotFound, s.Source.Root.Descriptor.Digest, s.Subject)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withSatellites adds to a result in words how many satellites go with the entry, and which ones they replace.
func (i *item) withSatellites(says string) string {
	switch n := len(i.satellites); n {
	case 0:
		return says
	case 1:
		says += ", with 1 signature or other satellite"
	default:
		says = fmt.Sprintf("%s, with %d signatures and other satellites", says, n)
	}
	switch over := i.replaced(); len(over) {
	case 0:
		return says
	case 1:
		return says + ", over the signature " + over[0]
	default:
		return says + ", over the signatures " + v1alpha1.FirstOf(over, maxNamed)
	}
}
