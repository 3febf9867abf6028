package purge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
)

// verifyTimeout bounds the look at a repository after deletions in it, also of a sweep that was
// told to stop.
const verifyTimeout = 20 * time.Second

// ErrPutBack is wrapped when something deleted turned out to be needed, and was put back.
var ErrPutBack = errors.New("what was deleted turned out to be needed")

// survivor is an image manifest to put back, and why.
type survivor struct {
	digest digest.Digest
	why    string
	// tags that a manifest lists and that have gone with the digest.
	tags []string
}

// verify reads a repository again after deletions: every tag, and whatever else keeps anything,
// must lead to what is there, all the way down. OCI has no compare-and-set: a tag that somebody set
// between the last look and the deletion is only seen here, and so is a manifest that was applied
// again meanwhile. What they need is put back.
func (s *sweeper) verify(ctx context.Context, repository string) error {
	if len(s.held) == 0 {
		return nil
	}
	defer clear(s.held)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	defer cancel()
	needed, err := s.needed(ctx, repository)
	if err != nil {
		return fmt.Errorf("looking whether all that is left can still be pulled: %w", err)
	}
	if len(needed) == 0 {
		return nil
	}
	return s.putBack(ctx, repository, needed)
}

// needed returns which of the image manifests at hand are missing and reached from something kept.
func (s *sweeper) needed(ctx context.Context, repository string) ([]survivor, error) {
	before := s.readings[repository]
	// A part that was kept while what lists it went: some registries take parts along.
	var shared []digest.Digest
	for _, d := range before.graph.Parts(slices.Collect(maps.Keys(s.held))...) {
		if _, deleted := s.held[d]; deleted || before.missing[d] {
			continue
		}
		shared = append(shared, d)
		if m, err := s.reader.whole(ctx, target{repository, d}); err == nil {
			s.held[d] = m
		}
	}
	s.shared, s.latest = nil, nil // manifests may have been applied since
	c, err := s.cluster(ctx)
	if err != nil && !errors.Is(err, ErrRefused) {
		return nil, err
	}
	entries, recorded := c.entries[repository], c.recorded[repository]
	starts := slices.Clone(shared)
	for _, root := range slices.Concat(recorded, keeping(entries)) {
		starts = append(starts, root.Digest)
	}
	after := s.reader.without(repository, slices.Concat(slices.Collect(maps.Keys(s.held)), shared)).read(ctx, repository, starts)
	if after.err != nil {
		return nil, after.err
	}
	switch lost, lookErr := s.dangling(ctx, repository, after.dangling); {
	case lookErr != nil:
		return nil, lookErr
	case len(lost) > 0:
		return s.all(fmt.Sprintf("tag %q leads nowhere", lost[0])), nil
	}
	var needed []survivor
	reached := after.graph.Reach(roots(entries, recorded, before.locked, after.graph))
	for d := range s.held {
		if why, kept := reached[d]; kept && after.missing[d] {
			needed = append(needed, survivor{d, explain(why), listedAt(c.tombstones, entries, d, after.graph)})
		}
	}
	return needed, nil
}

// listedAt are the tags that manifests list, that a restore would put at a digest, and that are not
// there.
func listedAt(all []*v1alpha1.Tombstone, entries []entry, d digest.Digest, g *graph.Graph) []string {
	var tags []string
	for _, e := range entries {
		if !e.listed || e.Digests[len(e.Digests)-1] != d.String() || g.Target(e.Tag) != "" {
			continue
		}
		if undos := v1alpha1.Undos(all, e.Repository, e.Tag); len(undos) > 0 && undos[0].UID == e.uid {
			tags = append(tags, e.Tag)
		}
	}
	return tags
}

// dangling returns those tags that led somewhere before the deletions, and that a second look
// still finds listed and leading nowhere. Where they led since is not known.
func (s *sweeper) dangling(ctx context.Context, repository string, tags []string) ([]string, error) {
	tags = slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(s.readings[repository].dangling, tag) })
	if len(tags) == 0 {
		return nil, nil
	}
	_, again, err := s.reader.tags(ctx, repository)
	return slices.DeleteFunc(tags, func(tag string) bool { return !slices.Contains(again, tag) }), err
}

// full reports whether too many bytes are at hand to go on without a look.
func (s *sweeper) full() bool {
	n := 0
	for _, m := range s.held {
		n += len(m.Bytes)
	}
	return n > maxHeld
}

// all returns whatever was deleted in the repository.
func (s *sweeper) all(why string) []survivor {
	var out []survivor
	for d := range s.held {
		out = append(out, survivor{digest: d, why: why})
	}
	return out
}

// putBack puts image manifests back with what they are made of, parts first, as registries want it.
func (s *sweeper) putBack(ctx context.Context, repository string, needed []survivor) error {
	why, tags := map[digest.Digest]string{}, map[digest.Digest][]string{}
	g := s.readings[repository].graph
	for _, n := range needed {
		tags[n.digest] = n.tags
		for _, d := range g.Parts(n.digest) {
			if _, have := s.held[d]; have && why[d] == "" {
				why[d] = n.why
			}
		}
	}
	var errs []error
	for _, layer := range slices.Backward(g.Layers(slices.Collect(maps.Keys(why)))) {
		for _, d := range layer {
			s.log.Error("Putting back what turned out to be needed", "repository", repository, "digest", d, "tags", tags[d], "why", why[d])
			v := s.plan[target{repository, d}]
			v.Repository, v.Digest, v.Delete, v.Reason, v.Message = repository, d, false, Tagged, "it was deleted and put back: "+why[d]
			if err := s.registry.Restore(ctx, repository, s.held[d], tags[d]); err != nil {
				v.Reason, v.Message = Lost, fmt.Sprintf("%s was deleted, is needed and could not be put back: %s", d, why[d])
				// What the registry says of writing teaches nothing of deleting: not wrapped.
				errs = append(errs, fmt.Errorf("%s is LOST from %s (%s); push it again: %s", d, repository, why[d], err.Error()))
			}
			s.settleVerdict(v)
		}
	}
	errs = append(errs, fmt.Errorf("%w: of %d image manifests of %s, such as %s, %d were put back: %s",
		ErrPutBack, len(why), repository, needed[0].digest, len(why)-len(errs), needed[0].why))
	return errors.Join(errs...)
}
