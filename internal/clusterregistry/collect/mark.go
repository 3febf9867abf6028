package collect

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

// mark finds what the roots reach.
type mark struct {
	*reader
	cycle    string
	untagged bool
	// again is nil for the first mark. The second has the plan of the first, which says what may be hidden.
	again  *plan
	ledger *ledger

	// blobs are the digests of the blobs that are reached.
	blobs set
	// found is what the first mark does not reach; back is what of the plan the second mark reaches. Neither has
	// blobs yet when the repositories are read.
	found, back *plan
}

// run marks all repositories, some at a time.
func (m *mark) run(ctx context.Context, workers int, done func()) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(workers)
	err := m.names(ctx, func(name string) error {
		all.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			r := repository{mark: m, name: name}
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

// names calls use once for each repository that is on the volume or in the trash of a cycle.
func (m *mark) names(ctx context.Context, use func(name string) error) error {
	known := map[string]struct{}{}
	return m.everywhere(layout.Repositories, m.again != nil, func(at, _ string) error {
		return m.repositories(ctx, at, func(name string) error {
			if _, ok := known[name]; ok {
				return nil
			}
			known[name] = struct{}{}
			return use(name)
		})
	})
}

// repositories calls use for each repository below a folder.
func (r *reader) repositories(ctx context.Context, top string, use func(name string) error) error {
	names := []string{""}
	for len(names) > 0 && ctx.Err() == nil {
		name := names[len(names)-1]
		names = names[:len(names)-1]
		entries, err := r.list(path.Join(top, name))
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

// blobFolders are the folders of the blobs whose digests begin alike.
func (r *reader) blobFolders() (folders []string, err error) {
	algorithms, err := r.list(layout.Blobs)
	if err != nil {
		return nil, err
	}
	for _, a := range algorithms {
		entries, err := r.list(path.Join(layout.Blobs, a.Name()))
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

// unreachedBlobs adds the blobs of a folder that are not reached, and older than the grace period, to what is found.
func (m *mark) unreachedBlobs(folder string) error {
	entries, err := m.list(folder)
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
		if missing(err) {
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
	m.ledger.count(func(r *Report) {
		r.Seen.Blobs += seen.Blobs
		r.Candidates.Blobs += candidates.Blobs
		r.Candidates.Bytes += candidates.Bytes
	})
	m.found.addBlobs(found)
	return nil
}

// reachedBlob reports whether a blob that the cycle may have hidden is reached now, or young: somebody may have
// written it just before it was hidden, and the volume's view may have been out of date.
func (m *mark) reachedBlob(d digest.Digest) (bool, error) {
	if m.blobs.has(d) {
		return true, nil
	}
	return m.youngAt(volume.HiddenPath(m.cycle, layout.BlobPath(d)))
}

// youngAt reports whether there is a file at a path, and it is young.
func (r *reader) youngAt(file string) (bool, error) {
	info, err := r.volume.Stat(file)
	if missing(err) {
		return false, nil
	}
	return err == nil && r.young(info), err
}
