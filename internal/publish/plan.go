package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// looksAtOnce is how many entries are looked at at a time.
const looksAtOnce = 8

// publication is what is done for a manifest.
type publication struct {
	target *target
	// withoutSatellites: signatures and what else is attached to images stay where they are.
	withoutSatellites bool
	// items are the manifest's entries, in its order.
	items []*item
	// stall is in what time 64 KiB of a blob have to move.
	stall time.Duration
}

// item is one entry of a manifest.
type item struct {
	entry      v1alpha1.ManifestArtifact
	repository string
	// image is that of an item of the mirror, of which the entry is made.
	image rewrite.Image
	// gone: what a sealed entry was recorded at is not in the registry any more.
	gone bool
	// untagged: it is pushed without its tag, which only the manager moves, or has none.
	untagged bool
	// recorded is the digest that the operator keeps for the entry, seen the one that it has last seen, which
	// it buries once another is there; "" for none.
	recorded, seen digest.Digest
	// foreign: the repository is not the manifest's own, and what is overwritten there is not recorded.
	foreign bool
	// candidate is nil if no source is for the entry.
	candidate *candidate
	source    *registry.Source
	// satellites are attached to the source.
	satellites []satellite
	// there is what the tag is at; no digest if it is not there.
	there ocispec.Descriptor
	// sameContent: what is there is the same chart with the same provenance, which Helm has pushed with annotations of its own.
	sameContent bool

	result result
	err    error
	// unverified: there was no time for it.
	unverified bool
}

// result is what became of an entry, or with --dry-run would.
type result string

const (
	resultMissing     result = "Missing"
	resultPresent     result = "Present"
	resultMoved       result = "Moved"
	resultPush        result = "WouldPush"
	resultOverwrite   result = "WouldOverwrite"
	resultPushed      result = "Pushed"
	resultOverwritten result = "Overwritten"
	resultFailed      result = "Failed"
	resultInterrupted result = "Interrupted"
)

// want is what the tag is to be at: what is there already, or the source.
func (i *item) want() ocispec.Descriptor {
	if i.source == nil || i.sameContent {
		return i.there
	}
	return i.source.Root.Descriptor
}

// newPublication matches sources with entries, or with images of the mirror.
func newPublication(t *target, found []candidate) (*publication, error) {
	p := &publication{target: t, stall: registry.PatientStall}
	if t.mirror != nil {
		var err error
		p.items, err = t.itemsOf(found)
		return p, err
	}
	entries := t.manifest.Spec.Artifacts
	labels := make([]labelled, len(found))
	for i := range found {
		labels[i] = found[i].labelled
	}
	matched, err := match(entries, labels)
	if err != nil {
		return nil, err
	}
	for _, a := range entries {
		i := &item{entry: a, repository: t.repository(a), foreign: t.manifest.Spec.UploadPath == v1alpha1.StoreScoped}
		for _, s := range t.manifest.Status.Artifacts {
			if s.ArtifactName == a.ArtifactName && s.ArtifactVersion == a.ArtifactVersion && s.Repository == i.repository {
				i.recorded, i.seen = digest.Digest(s.Digest), digest.Digest(cmp.Or(s.MovedTo, s.Digest))
			}
		}
		p.items = append(p.items, i)
	}
	for n, entry := range matched {
		p.items[entry].candidate = &found[n]
	}
	return p, nil
}

// lookAtAll looks at every source and every tag. It writes nothing.
func (p *publication) lookAtAll(ctx context.Context) error {
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(looksAtOnce)
	for _, i := range p.items {
		looks.Go(func() error { return p.look(ctx, i) })
	}
	return looks.Wait()
}

// decide says what is to be done for each entry. The error says all that may not be done.
func (p *publication) decide(overwrite bool) error {
	var errs []error
	for _, i := range p.items {
		sealed := p.target.sealed()
		if i.result, i.err = i.decide(sealed, overwrite); i.err == nil {
			if i.err = i.attachable(sealed, overwrite); i.err != nil {
				i.result = resultFailed
			}
		}
		if i.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", i.name(), i.err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, errors.New("nothing was pushed"))...)
	}
	return nil
}

func (p *publication) look(ctx context.Context, i *item) error {
	if err := p.lookAtTag(ctx, i); err != nil {
		return err
	}
	return p.lookAtSatellites(ctx, i)
}

func (p *publication) lookAtTag(ctx context.Context, i *item) (err error) {
	if i.candidate != nil {
		if i.source, err = i.candidate.read(ctx); err != nil {
			return err
		}
	}
	i.there, err = p.target.client.Resolve(ctx, i.repository, i.reference())
	if err == nil && p.target.sealed() && i.recorded != "" && i.there.Digest != i.recorded {
		_, lost := p.target.client.Resolve(ctx, i.repository, i.recorded.String())
		i.gone = errors.Is(lost, registry.ErrNotFound)
	}
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil
	case errors.Is(err, registry.ErrDenied):
		return fmt.Errorf("%w; %s", err, p.target.denied())
	case err != nil || i.source == nil || !i.candidate.chart || i.there.Digest == i.source.Root.Descriptor.Digest:
		return err
	}
	m, err := p.target.client.Manifest(ctx, i.repository, i.there.Digest)
	i.sameContent = err == nil && sameChart(m, i.source.Root)
	if errors.Is(err, registry.ErrUnreadable) {
		return nil // what is there is not a chart
	}
	return err
}

// sameChart reports whether two manifests are of one chart, with the same provenance or both without. Helm writes them with
// annotations and an order of its own.
func sameChart(one, other registry.Manifest) bool {
	layers := func(m registry.Manifest) (all []string) {
		for _, d := range m.Blobs[1:] { // the first is its config
			all = append(all, d.Digest.String())
		}
		slices.Sort(all)
		return all
	}
	return one.ConfigMediaType() == chart.ConfigMediaType && other.ConfigMediaType() == chart.ConfigMediaType && slices.Equal(layers(one), layers(other))
}

// decide says what is to be done for an entry. The error says why nothing may be, and what to do.
func (i *item) decide(sealed, overwrite bool) (result, error) {
	if i.image.Host != "" {
		return i.decideMirrored(overwrite)
	}
	moved := sealed && i.recorded != "" && i.there.Digest != "" && i.there.Digest != i.recorded
	switch {
	case i.source == nil && i.there.Digest == "":
		return resultMissing, nil
	case i.source == nil && moved:
		return resultMoved, nil
	case i.source == nil:
		return resultPresent, nil
	}
	want := i.want().Digest
	const another = "make another manifest for what is new (a sealed one, artifactManifestState Uploaded, stays as it is)"
	switch {
	case i.there.Digest == want:
		return resultPresent, nil
	case i.there.Digest == "" && sealed && i.recorded != "" && i.recorded != want:
		return resultFailed, fmt.Errorf("it was %s when the manifest was sealed, and %s is %s: push what it was, or %s", i.recorded, i.candidate.written, want, another)
	case i.there.Digest == "":
		return resultPush, nil
	case moved && i.recorded == want && i.gone:
		i.untagged = true
		return resultPush, nil
	case moved && i.recorded == want:
		return resultFailed, fmt.Errorf("the manifest is sealed with %s, and the tag was moved to %s: the annotation %s=%s on the manifest puts it back, with no upload",
			want, i.there.Digest, v1alpha1.AnnotationRestoreDigest, want)
	case sealed:
		return resultFailed, fmt.Errorf("the tag is at %s, and %s is %s: %s", i.there.Digest, i.candidate.written, want, another)
	}
	return i.replace(overwrite)
}

// replace says whether the tag of an entry that is not sealed may leave what it is at.
func (i *item) replace(overwrite bool) (result, error) {
	is := fmt.Sprintf("the tag is at %s, and %s is %s", i.there.Digest, i.candidate.written, i.want().Digest)
	switch {
	case !i.foreign && i.seen != i.there.Digest:
		return resultFailed, fmt.Errorf("%s: the manager has not seen yet what is there, so that nothing would keep it. "+
			"Wait until status.artifacts of the manifest has that digest (seconds while something is missing, else up to 5 minutes), then run this with --overwrite", is)
	case !overwrite && i.foreign:
		return resultFailed, fmt.Errorf("%s: --overwrite replaces it, and nothing keeps what it was at, for the manifest is %s", is, v1alpha1.StoreScoped)
	case !overwrite:
		return resultFailed, fmt.Errorf("%s: --overwrite replaces it, and a tombstone keeps what it was at through the grace period", is)
	}
	return resultOverwrite, nil
}
