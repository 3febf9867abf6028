package mark

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// Mark finds what the roots reach. The embedded Reader reads the volume.
type Mark struct {
	*Reader
	cycle    string
	untagged bool
	// again is nil for the first mark. For the second mark it is the
	// plan of the first, which has everything that may be hidden.
	again *Plan
	tally tally

	// blobs are the digests of the reached blobs.
	blobs set
	// found is what the first mark does not reach. back is what the
	// second mark reaches of the plan. Run adds no blobs to either.
	found, back *Plan
}

// New prepares a mark of a cycle. With untagged, only young revisions are roots. found is nil for the first mark of the
// cycle, and the plan of the first mark for the second.
func New(r *Reader, cycle string, untagged bool, found *Plan) *Mark {
	return &Mark{Reader: r, cycle: cycle, untagged: untagged, again: found, found: &Plan{}, back: &Plan{}}
}

// Found returns what the first mark does not reach. Run adds everything but blobs, which UnreachedBlobs adds.
func (m *Mark) Found() *Plan { return m.found }

// Back returns what the second mark reaches of the plan, after Run has returned. It has no blobs: see ReachedBlob.
func (m *Mark) Back() *Plan { return m.back }

// Tally returns what the mark has counted so far.
func (m *Mark) Tally() Tally { return m.tally.copy() }

// Run marks all repositories, at most workers at a time, and calls done after each. It ends with the first
// error. After an error, the mark does not say what is in use.
func (m *Mark) Run(ctx context.Context, workers int, done func()) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(workers)
	err := m.names(ctx, func(name string) error {
		all.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			r := repository{Mark: m, name: name}
			if err := r.read(); err != nil {
				return fmt.Errorf("reading the repository %s: %w", name, err)
			}
			done()
			return nil
		})
		return ctx.Err()
	})
	if failed := all.Wait(); failed != nil {
		return failed
	}
	return err
}

// names calls use once for each repository on the volume or in the trash of a cycle.
func (m *Mark) names(ctx context.Context, use func(name string) error) error {
	known := map[string]struct{}{}
	return m.everywhere(layout.Repositories, m.again != nil, func(at, _ string) error {
		return m.repositoriesBelow(ctx, at, func(name string) error {
			if _, ok := known[name]; ok {
				return nil
			}
			known[name] = struct{}{}
			return use(name)
		})
	})
}

// Repositories calls use for each repository that is in its place, not in a trash.
func (r *Reader) Repositories(ctx context.Context, use func(name string) error) error {
	return r.repositoriesBelow(ctx, layout.Repositories, use)
}

// repositoriesBelow calls use for each repository below a folder.
func (r *Reader) repositoriesBelow(ctx context.Context, top string, use func(name string) error) error {
	names := []string{""}
	for len(names) > 0 && ctx.Err() == nil {
		name := names[len(names)-1]
		names = names[:len(names)-1]
		entries, err := r.List(path.Join(top, name))
		if err != nil {
			return err
		}
		found := false
		for _, e := range entries {
			below := path.Join(name, e.Name())
			switch {
			case strings.HasPrefix(e.Name(), "_"):
				found = name != ""
			case e.IsDir():
				names = append(names, below)
			case e.Type()&fs.ModeSymlink != 0:
				return fmt.Errorf("%s is a symbolic link, and what is behind it cannot be counted on: replace it by the folder itself", path.Join(top, below))
			}
		}
		if !found {
			continue
		}
		if err := use(name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// BlobFolders returns the folders that each hold the blobs whose digests have the same first two digits.
func (r *Reader) BlobFolders() (folders []string, err error) {
	algorithms, err := r.List(layout.Blobs)
	if err != nil {
		return nil, err
	}
	for _, a := range algorithms {
		entries, err := r.List(path.Join(layout.Blobs, a.Name()))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() {
				folders = append(folders, path.Join(layout.Blobs, a.Name(), e.Name()))
			}
		}
	}
	return folders, nil
}

// UnreachedBlobs adds the blobs of a folder that are unreached and older than the grace period to Found. It must be
// called after Run, and is safe for concurrent use.
func (m *Mark) UnreachedBlobs(folder string) error {
	entries, err := m.List(folder)
	if err != nil {
		return err
	}
	var found digests
	var seen, candidates Counts
	for _, e := range entries {
		file := path.Join(folder, e.Name(), "data")
		p := layout.Parse(file)
		if p.Kind != layout.Blob {
			continue
		}
		seen.Blobs++
		if m.blobs.has(p.Digest) {
			continue
		}
		info, err := m.volume.Stat(file)
		if volume.Missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !m.young(info) {
			found.add(p.Digest)
			candidates.Blobs++
			candidates.Bytes += info.Size()
		}
	}
	m.tally.add(seen, candidates)
	m.found.addBlobs(found)
	return nil
}

// ReachedBlob reports whether a blob that the cycle may have hidden is reached now, or
// is young: a client may have written it just before it was hidden, while the volume's
// view was outdated. It must be called after Run, and is safe for concurrent use.
func (m *Mark) ReachedBlob(d digest.Digest) (bool, error) {
	if m.blobs.has(d) {
		return true, nil
	}
	return m.youngAt(volume.HiddenPath(m.cycle, layout.BlobPath(d)))
}

// youngAt reports whether a file exists at a path and is young.
func (r *Reader) youngAt(file string) (bool, error) {
	info, err := r.volume.Stat(file)
	if volume.Missing(err) {
		return false, nil
	}
	return err == nil && r.young(info), err
}
