package purge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry"
)

// maxManifests bounds one reading of one repository. Past it the repository is unreadable.
const maxManifests = 200_000

// maxParts bounds the digests that the image manifests in memory refer to, over all repositories. Each takes about
// 100 bytes at most. Past it the repository is unreadable.
const maxParts = 2_000_000

// maxHeld bounds, in bytes, the image manifests that are kept in memory for putting back.
const maxHeld = 16 << 20

// reader reads repositories. Manifests never change under their digest, so that each is read
// once a run. That one is missing is not remembered: it may have been pushed since.
type reader struct {
	from  Reader // what it reads
	clock clock.PassiveClock
	slots chan struct{} // one for each request under way, over all repositories

	mu    sync.Mutex
	known map[string]map[digest.Digest]stored // by repository
	bytes map[target]registry.Manifest        // some of those known, whole
	held  int                                 // bytes of these
	parts int                                 // of those known
}

func newReader(from Reader, c clock.PassiveClock, requests int) *reader {
	return &reader{from: from, clock: c, slots: make(chan struct{}, requests), known: map[string]map[digest.Digest]stored{}, bytes: map[target]registry.Manifest{}}
}

// requests is how many requests run at the same time.
func (r *reader) requests() int { return cap(r.slots) }

// read reads all tags of a repository and every manifest that they, or starts, lead to by any
// edge in either direction that a graph has.
func (r *reader) read(ctx context.Context, repository string, starts []digest.Digest) reading {
	begun := r.clock.Now()
	tags, dangling, err := r.tags(ctx, repository)
	if err != nil {
		return reading{err: err}
	}
	frontier := slices.Concat(starts, slices.Collect(maps.Values(tags)))
	for tag := range tags {
		if subject, ok := graph.SatelliteOf(tag); ok {
			frontier = append(frontier, subject)
		}
	}
	found, missing, err := r.walk(ctx, repository, frontier)
	if err != nil {
		return reading{err: err}
	}
	nodes := make([]graph.Node, len(found))
	for i, s := range found {
		nodes[i] = s.node
	}
	opaque := map[digest.Digest]bool{}
	for _, s := range found {
		for _, d := range s.nested {
			opaque[d] = missing[d]
		}
	}
	maps.DeleteFunc(opaque, func(_ digest.Digest, missing bool) bool { return !missing })
	return reading{begun: begun, graph: graph.Build(tags, nodes), missing: missing, opaque: opaque, dangling: dangling}
}

// walk reads the manifests that a frontier leads to. Those that are not there are in missing.
func (r *reader) walk(ctx context.Context, repository string, frontier []digest.Digest) (found []stored, missing map[digest.Digest]bool, err error) {
	seen := map[digest.Digest]bool{}
	missing = map[digest.Digest]bool{}
	for len(frontier) > 0 {
		frontier = unseen(seen, frontier)
		if len(seen) > maxManifests {
			return nil, nil, fmt.Errorf("%w: it has more than %d image manifests", registry.ErrUnreadable, maxManifests)
		}
		step, err := r.manifests(ctx, repository, frontier)
		if err != nil {
			return nil, nil, err
		}
		var next []digest.Digest
		for i, s := range step {
			if s.node.Digest == "" {
				missing[frontier[i]] = true
				continue
			}
			found = append(found, s)
			next = append(next, s.node.Children...)
			if s.node.Subject != "" {
				next = append(next, s.node.Subject)
			}
		}
		frontier = next
	}
	return found, missing, nil
}

// names lists the tags of a repository; none if the registry does not know it.
func (r *reader) names(ctx context.Context, repository string) (names []string, err error) {
	err = r.request(ctx, func() (err error) {
		names, err = r.from.Tags(ctx, repository)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing tags: %w", err)
	}
	return names, nil
}

// tags resolves every tag. One that does not resolve is dangling if it is still listed then.
func (r *reader) tags(ctx context.Context, repository string) (tags map[string]digest.Digest, dangling []string, err error) {
	names, err := r.names(ctx, repository)
	if err != nil {
		return nil, nil, err
	}
	resolve := r.resolve
	if !r.knows(repository) {
		resolve = r.readTag
	}
	targets := make([]digest.Digest, len(names))
	g, resolving := errgroup.WithContext(ctx)
	g.SetLimit(cap(r.slots))
	for i, tag := range names {
		g.Go(func() error {
			return r.request(resolving, func() error {
				var resolveErr error
				targets[i], resolveErr = resolve(resolving, repository, tag)
				return resolveErr
			})
		})
	}
	if err = g.Wait(); err != nil {
		return nil, nil, err
	}
	tags = make(map[string]digest.Digest, len(names))
	for i, tag := range names {
		if targets[i] != "" {
			tags[tag] = targets[i]
		} else {
			dangling = append(dangling, tag)
		}
	}
	if len(dangling) == 0 {
		return tags, nil, nil
	}
	names, err = r.names(ctx, repository)
	dangling = slices.DeleteFunc(dangling, func(tag string) bool { return !slices.Contains(names, tag) })
	return tags, dangling, err
}

// resolve asks what a tag points at.
func (r *reader) resolve(ctx context.Context, repository, tag string) (digest.Digest, error) {
	desc, err := r.from.Resolve(ctx, repository, tag)
	return desc.Digest, err
}

// readTag reads what a tag points at, too: the first time in a repository that would be the next
// request.
func (r *reader) readTag(ctx context.Context, repository, tag string) (digest.Digest, error) {
	m, err := r.from.Tagged(ctx, repository, tag)
	if err == nil {
		_, err = r.remember(repository, m.Descriptor.Digest, m)
	}
	return m.Descriptor.Digest, err
}

func (r *reader) knows(repository string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.known[repository]) > 0
}

// manifests reads what is stored at digests, in their order; zero where nothing is there.
func (r *reader) manifests(ctx context.Context, repository string, digests []digest.Digest) ([]stored, error) {
	found := make([]stored, len(digests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(r.slots))
	for i, d := range digests {
		if s, ok := r.recall(repository, d); ok {
			found[i] = s
			continue
		}
		g.Go(func() error {
			return r.request(ctx, func() error {
				m, err := r.from.Manifest(ctx, repository, d)
				if err == nil {
					found[i], err = r.remember(repository, d, m)
				}
				return err
			})
		})
	}
	return found, g.Wait()
}

// whole returns an image manifest with its bytes. Errors wrap registry.ErrNotFound.
func (r *reader) whole(ctx context.Context, at target) (registry.Manifest, error) {
	r.mu.Lock()
	m, ok := r.bytes[at]
	r.mu.Unlock()
	if ok {
		return m, nil
	}
	return r.from.Manifest(ctx, at.repository, at.digest)
}

// request is a slot for a question. What the registry says does not exist is not an error: there is nothing.
func (r *reader) request(ctx context.Context, f func() error) error {
	if err := r.slot(ctx, f); !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	return nil
}

// slot does something as one of the requests that may run at the same time.
func (r *reader) slot(ctx context.Context, f func() error) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.slots }()
	return f()
}

func (r *reader) recall(repository string, d digest.Digest) (stored, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.known[repository][d]
	return s, ok
}

// remember keeps what is needed of a manifest, and its bytes too while there is room. Errors wrap
// registry.ErrUnreadable if that is too much.
func (r *reader) remember(repository string, d digest.Digest, m registry.Manifest) (stored, error) {
	s := stored{node: graph.Node{Digest: d, Children: make([]digest.Digest, len(m.Children))}, size: m.Descriptor.Size, blobs: make([]blob, len(m.Blobs))}
	for i, b := range m.Blobs {
		s.blobs[i] = blob{contentOf(b.Digest), b.Size}
	}
	for i, c := range m.Children {
		s.node.Children[i] = c.Digest
		if c.MediaType != ocispec.MediaTypeImageManifest && c.MediaType != registry.MediaTypeDockerManifest {
			s.nested = append(s.nested, c.Digest)
		}
	}
	if m.Subject != nil {
		s.node.Subject = m.Subject.Digest
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[repository] == nil {
		r.known[repository] = map[digest.Digest]stored{}
	}
	if _, again := r.known[repository][d]; again {
		return s, nil
	}
	if r.parts+s.parts() > maxParts {
		return stored{}, fmt.Errorf("%w: the image manifests that were read refer to more than %d digests together", registry.ErrUnreadable, maxParts)
	}
	r.known[repository][d] = s
	r.parts += s.parts()
	if r.held+len(m.Bytes) <= maxHeld {
		r.bytes[target{repository, d}] = registry.Manifest{Descriptor: m.Descriptor, Bytes: m.Bytes} // all that a write needs
		r.held += len(m.Bytes)
	}
	return s, nil
}

// without is a reader that knows the same of a repository, but for some digests.
func (r *reader) without(repository string, digests []digest.Digest) *reader {
	fresh := newReader(r.from, r.clock, 0)
	fresh.slots = r.slots
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh.known[repository] = maps.Clone(r.known[repository])
	for _, d := range digests {
		delete(fresh.known[repository], d)
	}
	return fresh
}

// forget drops a repository that is done with.
func (r *reader) forget(repository string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, s := range r.known[repository] {
		r.parts -= s.parts()
		at := target{repository, d}
		r.held -= len(r.bytes[at].Bytes)
		delete(r.bytes, at)
	}
	delete(r.known, repository)
}

// unseen returns what was not seen before, each once, and marks it as seen.
func unseen(seen map[digest.Digest]bool, ds []digest.Digest) []digest.Digest {
	var fresh []digest.Digest
	for _, d := range ds {
		if !seen[d] {
			seen[d] = true
			fresh = append(fresh, d)
		}
	}
	return fresh
}
