package reading

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry"
)

// maxManifests is the most image manifests that one reading of one
// repository may have. A repository that exceeds it is unreadable.
const maxManifests = 200_000

// MaxParts is the most digests that the image manifests in memory may refer to, over all
// repositories. Each takes about 100 bytes at most. A repository that exceeds it is unreadable.
const MaxParts = 2_000_000

// MaxHeld is the most bytes of image manifests that a Reader keeps in
// memory, and that a purge keeps in memory so that it can restore them.
const MaxHeld = 16 << 20

// Reader reads repositories. It is safe for concurrent use. The content of a digest never changes, so a Reader reads each
// image manifest once. It does not remember that a digest is missing, because the digest may have been pushed since.
type Reader struct {
	// Registry is the registry to read from.
	Registry Registry
	clock    clock.PassiveClock
	slots    chan struct{} // one for each running request, over all repositories

	mu    sync.Mutex
	known map[string]map[digest.Digest]Stored // by repository
	bytes map[Key]registry.Manifest           // some of the known manifests, with their bytes
	held  int                                 // bytes in the field bytes
	parts int                                 // digests that the known manifests refer to
	asked int                                 // how many requests were answered without an error
	took  time.Duration                       // how long these requests took, in total
}

// NewReader returns a Reader that knows nothing yet and sends at most the given number of requests at the same time.
func NewReader(from Registry, c clock.PassiveClock, requests int) *Reader {
	return &Reader{Registry: from, clock: c, slots: make(chan struct{}, requests), known: map[string]map[digest.Digest]Stored{}, bytes: map[Key]registry.Manifest{}}
}

// Requests returns how many requests may run at the same time.
func (r *Reader) Requests() int { return cap(r.slots) }

// Read reads all tags of a repository and every manifest that the tags, or
// starts, lead to by any kind of edge that a graph has, in either direction.
func (r *Reader) Read(ctx context.Context, repository string, starts []digest.Digest) Repository {
	begun := r.clock.Now()
	tags, dangling, err := r.Tags(ctx, repository)
	if err != nil {
		return Repository{Err: err}
	}
	frontier := slices.Concat(starts, slices.Collect(maps.Values(tags)))
	for tag := range tags {
		if subject, ok := graph.SatelliteOf(tag); ok {
			frontier = append(frontier, subject)
		}
	}
	found, missing, err := r.Walk(ctx, repository, frontier)
	if err != nil {
		return Repository{Err: err}
	}
	nodes := make([]graph.Node, len(found))
	for i, s := range found {
		nodes[i] = s.Node
	}
	opaque := map[digest.Digest]bool{}
	for _, s := range found {
		for _, d := range s.nested {
			opaque[d] = missing[d]
		}
	}
	maps.DeleteFunc(opaque, func(_ digest.Digest, missing bool) bool { return !missing })
	return Repository{Begun: begun, Graph: graph.Build(tags, nodes), Missing: missing, Opaque: opaque, Dangling: dangling}
}

// Walk reads the manifests that the digests in frontier lead to. missing has the digests that do not exist.
func (r *Reader) Walk(ctx context.Context, repository string, frontier []digest.Digest) (found []Stored, missing map[digest.Digest]bool, err error) {
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
			if s.Node.Digest == "" {
				missing[frontier[i]] = true
				continue
			}
			found = append(found, s)
			next = append(next, s.Node.Children...)
			if s.Node.Subject != "" {
				next = append(next, s.Node.Subject)
			}
		}
		frontier = next
	}
	return found, missing, nil
}

// Names lists the tags of a repository. It returns none if the registry does not know the repository.
func (r *Reader) Names(ctx context.Context, repository string) (names []string, err error) {
	err = r.request(ctx, func() (err error) {
		names, err = r.Registry.Tags(ctx, repository)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing tags: %w", err)
	}
	return names, nil
}

// Tags resolves every tag. A tag that does not resolve is dangling if a second list still has it.
func (r *Reader) Tags(ctx context.Context, repository string) (tags map[string]digest.Digest, dangling []string, err error) {
	names, err := r.Names(ctx, repository)
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
	names, err = r.Names(ctx, repository)
	dangling = slices.DeleteFunc(dangling, func(tag string) bool { return !slices.Contains(names, tag) })
	return tags, dangling, err
}

// resolve returns the digest that a tag points at.
func (r *Reader) resolve(ctx context.Context, repository, tag string) (digest.Digest, error) {
	desc, err := r.Registry.Resolve(ctx, repository, tag)
	return desc.Digest, err
}

// readTag returns the digest that a tag points at, and reads its manifest with
// the same request. The first reading of a repository needs all manifests anyway.
func (r *Reader) readTag(ctx context.Context, repository, tag string) (digest.Digest, error) {
	m, err := r.Registry.Tagged(ctx, repository, tag)
	if err == nil {
		_, err = r.remember(repository, m.Descriptor.Digest, m)
	}
	return m.Descriptor.Digest, err
}

func (r *Reader) knows(repository string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.known[repository]) > 0
}

// manifests reads the manifests at digests, in the same order. A digest that does not exist has the zero value.
func (r *Reader) manifests(ctx context.Context, repository string, digests []digest.Digest) ([]Stored, error) {
	found := make([]Stored, len(digests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(r.slots))
	for i, d := range digests {
		if s, ok := r.recall(repository, d); ok {
			found[i] = s
			continue
		}
		g.Go(func() error {
			return r.request(ctx, func() error {
				m, err := r.Registry.Manifest(ctx, repository, d)
				if err == nil {
					found[i], err = r.remember(repository, d, m)
				}
				return err
			})
		})
	}
	return found, g.Wait()
}

// Whole returns an image manifest with its bytes. Errors wrap registry.ErrNotFound.
func (r *Reader) Whole(ctx context.Context, at Key) (registry.Manifest, error) {
	r.mu.Lock()
	m, ok := r.bytes[at]
	r.mu.Unlock()
	if ok {
		return m, nil
	}
	return r.Registry.Manifest(ctx, at.Repository, at.Digest)
}

// Weight returns the size in bytes of the image manifests at the given digests, as far as they were read.
func (r *Reader) Weight(repository string, digests []digest.Digest) (bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range digests {
		bytes += r.known[repository][d].Size
	}
	return bytes
}

// request runs f in a slot. It ignores registry.ErrNotFound: a missing object is not a failure.
func (r *Reader) request(ctx context.Context, f func() error) error {
	if err := r.Do(ctx, f); !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	return nil
}

// Do runs f in one of the slots for requests. It returns the error
// of f, or that of ctx if it ended while waiting for a slot.
func (r *Reader) Do(ctx context.Context, f func() error) error {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.slots }()
	begun := r.clock.Now()
	err := f()
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked++
		r.took += r.clock.Since(begun)
	}
	return err
}

// Within returns how many requests the registry answers in d at the rate measured so far, or 0 if that is unknown.
func (r *Reader) Within(d time.Duration) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.took <= 0 {
		return 0
	}
	return int(float64(d) / float64(r.took) * float64(r.asked*cap(r.slots)))
}

func (r *Reader) recall(repository string, d digest.Digest) (Stored, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.known[repository][d]
	return s, ok
}

// remember keeps what is needed of a manifest, and its bytes while there
// is room. Errors wrap registry.ErrUnreadable if MaxParts is exceeded.
func (r *Reader) remember(repository string, d digest.Digest, m registry.Manifest) (Stored, error) {
	s := Stored{Node: graph.Node{Digest: d, Children: make([]digest.Digest, len(m.Children))}, Size: m.Descriptor.Size, Blobs: make([]Blob, 0, len(m.Blobs))}
	for _, b := range m.Blobs {
		if !registry.Elsewhere(b) { // a blob stored elsewhere takes no room here, and its size is whatever the manifest claims
			s.Blobs = append(s.Blobs, Blob{ContentOf(b.Digest), b.Size})
		}
	}
	for i, c := range m.Children {
		s.Node.Children[i] = c.Digest
		if c.MediaType != ocispec.MediaTypeImageManifest && c.MediaType != registry.MediaTypeDockerManifest {
			s.nested = append(s.nested, c.Digest)
		}
	}
	if m.Subject != nil {
		s.Node.Subject = m.Subject.Digest
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[repository] == nil {
		r.known[repository] = map[digest.Digest]Stored{}
	}
	if _, again := r.known[repository][d]; again {
		return s, nil
	}
	if r.parts+s.parts() > MaxParts {
		return Stored{}, fmt.Errorf("%w: the image manifests that were read refer to more than %d digests together", registry.ErrUnreadable, MaxParts)
	}
	r.known[repository][d] = s
	r.parts += s.parts()
	if r.held+len(m.Bytes) <= MaxHeld {
		r.bytes[Key{repository, d}] = registry.Manifest{Descriptor: m.Descriptor, Bytes: m.Bytes} // all that restoring it needs
		r.held += len(m.Bytes)
	}
	return s, nil
}

// Without returns a Reader that knows the same image manifests of a repository, except the given digests.
func (r *Reader) Without(repository string, digests []digest.Digest) *Reader {
	fresh := NewReader(r.Registry, r.clock, 0)
	fresh.slots = r.slots
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh.known[repository] = maps.Clone(r.known[repository])
	for _, d := range digests {
		delete(fresh.known[repository], d)
	}
	for _, s := range fresh.known[repository] {
		fresh.parts += s.parts()
	}
	return fresh
}

// Forget drops what the Reader knows of a repository.
func (r *Reader) Forget(repository string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, s := range r.known[repository] {
		r.parts -= s.parts()
		at := Key{repository, d}
		r.held -= len(r.bytes[at].Bytes)
		delete(r.bytes, at)
	}
	delete(r.known, repository)
}

// unseen returns the digests that were not seen before, each once, and marks them as seen.
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
