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

// inspectConcurrency is how many entries are read from the registry concurrently.
const inspectConcurrency = 8

// publication is the plan and the progress of one publish command.
type publication struct {
	target *target
	// withoutSatellites leaves signatures and other satellites of images behind.
	withoutSatellites bool
	// items are the manifest's entries in its order, or the images for the mirror.
	items []*item
	// stall is the time in which 64 KiB of a blob must be transferred.
	stall time.Duration
}

// item is one entry of a manifest, or one image for the mirror.
type item struct {
	entry      v1alpha1.ManifestArtifact
	repository string
	// image is set for an item of the mirror; entry is derived from it.
	image rewrite.Image
	// gone is set if the digest that a sealed entry was recorded at is no longer in the registry.
	gone bool
	// untagged is set if the item is pushed without its tag: it has none, or only the manager may move it.
	untagged bool
	// recorded is the digest that the operator protects for the entry. seen is the digest that the manager
	// saw last, for which it writes a tombstone once the tag is at another one. "" stands for none.
	recorded, seen digest.Digest
	// foreign is set if the repository is not the manifest's own: no tombstone is written for what is overwritten there.
	foreign bool
	// candidate is nil if no source is for the entry.
	candidate *candidate
	source    *registry.Source
	// satellites are attached to the source.
	satellites []satellite
	// there is the content that the tag is at; its digest is empty if the tag does not exist.
	current ocispec.Descriptor
	// sameContent is set if the registry has the same chart with the same provenance, pushed by Helm with other annotations.
	sameContent bool

	result result
	err    error
	// unverified is set if an interruption came before the verification.
	unverified bool
}

// result is the result for an entry, or with --dry-run the result that it would have.
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

// want returns what the tag is to be at: the source, or what the
// registry has if there is no source or the content is the same.
func (i *item) want() ocispec.Descriptor {
	if i.source == nil || i.sameContent {
		return i.current
	}
	return i.source.Root.Descriptor
}

// newPublication matches sources with entries, or with images for the mirror.
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

// inspectAll reads every source and every tag. It writes nothing.
func (p *publication) inspectAll(ctx context.Context) error {
	looks, ctx := errgroup.WithContext(ctx)
	looks.SetLimit(inspectConcurrency)
	for _, i := range p.items {
		looks.Go(func() error { return p.inspect(ctx, i) })
	}
	return looks.Wait()
}

// decide sets what is to be done for each entry. Its error has all refusals.
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

func (p *publication) inspect(ctx context.Context, i *item) error {
	if err := p.inspectTag(ctx, i); err != nil {
		return err
	}
	return p.inspectSatellites(ctx, i)
}

func (p *publication) inspectTag(ctx context.Context, i *item) (err error) {
	if i.candidate != nil {
		if i.source, err = i.candidate.read(ctx); err != nil {
			return err
		}
	}
	i.current, err = p.target.client.Resolve(ctx, i.repository, i.reference())
	if err == nil && p.target.sealed() && i.recorded != "" && i.current.Digest != i.recorded {
		_, lost := p.target.client.Resolve(ctx, i.repository, i.recorded.String())
		i.gone = errors.Is(lost, registry.ErrNotFound)
	}
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil
	case errors.Is(err, registry.ErrDenied):
		return fmt.Errorf("%w; %s", err, p.target.denied())
	case err != nil || i.source == nil || !i.candidate.chart || i.current.Digest == i.source.Root.Descriptor.Digest:
		return err
	}
	m, err := p.target.client.Manifest(ctx, i.repository, i.current.Digest)
	i.sameContent = err == nil && sameChart(m, i.source.Root)
	if errors.Is(err, registry.ErrUnreadable) {
		return nil // the tag is at something other than a chart
	}
	return err
}

// sameChart reports whether two manifests are of one chart, with the same provenance
// or both without. Helm chooses annotations and the order of layers itself.
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

// decide returns what is to be done for an entry. Its error says why nothing may be done, and what to do instead.
func (i *item) decide(sealed, overwrite bool) (result, error) {
	if i.image.Host != "" {
		return i.decideMirrored(overwrite)
	}
	moved := sealed && i.recorded != "" && i.current.Digest != "" && i.current.Digest != i.recorded
	switch {
	case i.source == nil && i.current.Digest == "":
		return resultMissing, nil
	case i.source == nil && moved:
		return resultMoved, nil
	case i.source == nil:
		return resultPresent, nil
	}
	want := i.want().Digest
	const another = "make another manifest for what is new (a sealed one, artifactManifestState Uploaded, stays as it is)"
	switch {
	case i.current.Digest == want:
		return resultPresent, nil
	case i.current.Digest == "" && sealed && i.recorded != "" && i.recorded != want:
		return resultFailed, fmt.Errorf("it was %s when the manifest was sealed, and %s is %s: push what it was, or %s", i.recorded, i.candidate.written, want, another)
	case i.current.Digest == "":
		return resultPush, nil
	case moved && i.recorded == want && i.gone:
		i.untagged = true
		return resultPush, nil
	case moved && i.recorded == want:
		return resultFailed, fmt.Errorf("the manifest is sealed with %s, and the tag was moved to %s: the annotation %s=%s on the manifest puts it back, with no upload",
			want, i.current.Digest, v1alpha1.AnnotationRestoreDigest, want)
	case sealed:
		return resultFailed, fmt.Errorf("the tag is at %s, and %s is %s: %s", i.current.Digest, i.candidate.written, want, another)
	}
	return i.replace(overwrite)
}

// replace decides whether the tag of an entry that is not sealed may be overwritten.
func (i *item) replace(overwrite bool) (result, error) {
	is := fmt.Sprintf("the tag is at %s, and %s is %s", i.current.Digest, i.candidate.written, i.want().Digest)
	switch {
	case !i.foreign && i.seen != i.current.Digest:
		return resultFailed, fmt.Errorf("%s: the manager has not seen yet what is there, so that nothing would keep it. "+
			"Wait until status.artifacts of the manifest has that digest (seconds while something is missing, else up to 5 minutes), then run this with --overwrite", is)
	case !overwrite && i.foreign:
		return resultFailed, fmt.Errorf("%s: --overwrite replaces it, and nothing keeps what it was at, for the manifest is %s", is, v1alpha1.StoreScoped)
	case !overwrite:
		return resultFailed, fmt.Errorf("%s: --overwrite replaces it, and a tombstone keeps what it was at through the grace period", is)
	}
	return resultOverwrite, nil
}
