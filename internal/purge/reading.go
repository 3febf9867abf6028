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

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry"
)

// maxManifests bounds one reading of one repository. Past it the repository is unreadable.
const maxManifests = 200_000

// Reader is what planning needs of a registry: nothing that writes (I8).
type Reader interface {
	// Tags lists all tags, or fails; registry.ErrNotFound when the repository is not known.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Resolve returns what a tag points at.
	Resolve(ctx context.Context, repository, tag string) (ocispec.Descriptor, error)
	// Manifest returns what is stored at a digest.
	Manifest(ctx context.Context, repository string, d digest.Digest) (registry.Manifest, error)
}

// reading is what one repository showed.
type reading struct {
	graph *graph.Graph
	// missing are digests that were asked for and are not there.
	missing map[digest.Digest]bool
	// err says why the repository cannot be read whole; then nothing else of the reading counts.
	err error
}

// reader reads repositories. Manifests never change under their digest, so that each is read
// once a run. That one is missing is not remembered: it may have been pushed since.
type reader struct {
	from  Reader
	slots chan struct{} // one for each request under way, over all repositories

	mu    sync.Mutex
	known map[string]map[digest.Digest]graph.Node // by repository
}

func newReader(from Reader, requests int) *reader {
	return &reader{from: from, slots: make(chan struct{}, requests), known: map[string]map[digest.Digest]graph.Node{}}
}

// read reads all tags of a repository and every manifest that they, or starts, lead to by any
// edge in either direction that a graph has.
func (r *reader) read(ctx context.Context, repository string, starts []digest.Digest) reading {
	tags, err := r.tags(ctx, repository)
	if err != nil {
		return reading{err: err}
	}
	frontier := slices.Concat(starts, slices.Collect(maps.Values(tags)))
	for tag := range tags {
		if subject, ok := graph.SatelliteOf(tag); ok {
			frontier = append(frontier, subject)
		}
	}
	seen, missing := map[digest.Digest]bool{}, map[digest.Digest]bool{}
	var nodes []graph.Node
	for len(frontier) > 0 {
		frontier = unseen(seen, frontier)
		if len(seen) > maxManifests {
			return reading{err: fmt.Errorf("%w: it has more than %d image manifests", registry.ErrUnreadable, maxManifests)}
		}
		found, manifestsErr := r.manifests(ctx, repository, frontier)
		if manifestsErr != nil {
			return reading{err: manifestsErr}
		}
		frontier, nodes = follow(frontier, found, nodes, missing)
	}
	return reading{graph: graph.Build(tags, nodes), missing: missing}
}

// follow sorts what a step of the walk found into nodes and missing, and returns where they lead.
func follow(asked []digest.Digest, found, nodes []graph.Node, missing map[digest.Digest]bool) ([]digest.Digest, []graph.Node) {
	var next []digest.Digest
	for i, d := range asked {
		if found[i].Digest == "" {
			missing[d] = true
			continue
		}
		nodes = append(nodes, found[i])
		next = append(next, found[i].Children...)
		if found[i].Subject != "" {
			next = append(next, found[i].Subject)
		}
	}
	return next, nodes
}

// tags resolves every tag. A tag that vanished after it was listed is gone.
func (r *reader) tags(ctx context.Context, repository string) (map[string]digest.Digest, error) {
	var names []string
	err := r.request(ctx, func() (err error) {
		names, err = r.from.Tags(ctx, repository)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing tags: %w", err)
	}
	targets := make([]digest.Digest, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(r.slots))
	for i, tag := range names {
		g.Go(func() error {
			return r.request(ctx, func() error {
				desc, resolveErr := r.from.Resolve(ctx, repository, tag)
				targets[i] = desc.Digest
				return resolveErr
			})
		})
	}
	if err = g.Wait(); err != nil {
		return nil, err
	}
	tags := make(map[string]digest.Digest, len(names))
	for i, tag := range names {
		if targets[i] != "" {
			tags[tag] = targets[i]
		}
	}
	return tags, nil
}

// manifests reads the nodes of digests, in their order; a zero node where nothing is there.
func (r *reader) manifests(ctx context.Context, repository string, digests []digest.Digest) ([]graph.Node, error) {
	nodes := make([]graph.Node, len(digests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(r.slots))
	for i, d := range digests {
		if n, ok := r.recall(repository, d); ok {
			nodes[i] = n
			continue
		}
		g.Go(func() error {
			return r.request(ctx, func() error {
				m, err := r.from.Manifest(ctx, repository, d)
				if err == nil {
					nodes[i] = node(d, m)
					r.remember(repository, nodes[i])
				}
				return err
			})
		})
	}
	return nodes, g.Wait()
}

// request takes a slot. What is not found is no error: there is nothing.
func (r *reader) request(ctx context.Context, f func() error) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.slots }()
	if err := f(); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	return nil
}

func (r *reader) recall(repository string, d digest.Digest) (graph.Node, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.known[repository][d]
	return n, ok
}

func (r *reader) remember(repository string, n graph.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[repository] == nil {
		r.known[repository] = map[digest.Digest]graph.Node{}
	}
	r.known[repository][n.Digest] = n
}

// forget drops a repository that is done with.
func (r *reader) forget(repository string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, repository)
}

func node(d digest.Digest, m registry.Manifest) graph.Node {
	n := graph.Node{Digest: d}
	for _, c := range m.Children {
		n.Children = append(n.Children, c.Digest)
	}
	if m.Subject != nil {
		n.Subject = m.Subject.Digest
	}
	return n
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
