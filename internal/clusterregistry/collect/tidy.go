package collect

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	// uploadDepth and uploadFiles bound what is read of one upload. A folder that exceeds them is left alone.
	uploadDepth = 4
	uploadFiles = 10_000
	// minTemporary is the minimum age of what is deleted here,
	// whatever the options say, because writing a file takes time.
	minTemporary = time.Minute
)

// errNotAnUpload means that a folder is too deep or too large for an upload.
var errNotAnUpload = errors.New("not an upload")

// tidy deletes what interrupted pushes and registries left: uploads, temporary files and empty folders.
func (c *collector) tidy(ctx context.Context) error {
	folders, err := c.reader.BlobFolders()
	if err != nil {
		return err
	}
	temporary := func(name string) bool { return strings.HasSuffix(name, ".tmp") }
	err = c.each(ctx, slices.Values(folders), func(ctx context.Context, folder string) error {
		return c.tidyFolder(ctx, folder, layout.Blobs, temporary)
	})
	if err != nil {
		return err
	}
	var names []string
	if err := c.reader.Repositories(ctx, func(name string) error {
		names = append(names, name)
		return nil
	}); err != nil {
		return err
	}
	err = c.each(ctx, slices.Values(names), func(ctx context.Context, name string) error {
		for _, folder := range []string{layout.LayersOf(name), layout.ManifestsOf(name)} {
			if err := c.tidyFolder(ctx, folder, layout.Repositories, temporary); err != nil {
				return err
			}
		}
		return c.tidyUploads(ctx, layout.UploadsOf(name))
	})
	if err != nil {
		return err
	}
	for _, folder := range []string{volume.Scratch, volume.Deletions} {
		if err := c.tidyFolder(ctx, folder, folder, func(string) bool { return true }); err != nil {
			return err
		}
	}
	return nil
}

// tidyFolder deletes the old files below a folder whose names are stale, and the old folders that are empty.
func (c *collector) tidyFolder(ctx context.Context, folder, upTo string, stale func(name string) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := c.reader.List(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		below := path.Join(folder, e.Name())
		switch {
		case e.IsDir():
			err = c.tidyFolder(ctx, below, upTo, stale)
		case e.Type().IsRegular() && stale(e.Name()):
			err = c.tidyFile(ctx, below)
		}
		if err != nil {
			return err
		}
	}
	if len(entries) > 0 || c.options.DryRun {
		return nil
	}
	old, err := c.stale(folder)
	if old {
		c.removeEmpty(folder, upTo)
	}
	return err
}

// stale reports whether a file or folder exists at a path and is old enough that no process is still writing it.
func (c *collector) stale(at string) (bool, error) {
	info, err := c.volume.Stat(at)
	if volume.Missing(err) {
		return false, nil
	}
	return err == nil && info.ModTime().Before(c.oldestTemporary), err
}

func (c *collector) tidyFile(ctx context.Context, file string) error {
	old, err := c.stale(file)
	if err != nil || !old {
		return err
	}
	if c.options.DryRun {
		c.ledger.count(func(r *Report) { r.Candidates.Files++ })
		return nil
	}
	hidden, err := c.hideOld(ctx, file, c.oldestTemporary)
	if err != nil || !hidden {
		return err
	}
	if err := c.drop(c.cycle, file); err != nil {
		return err
	}
	c.ledger.count(func(r *Report) { r.Deleted.Files++ })
	return nil
}

func (c *collector) tidyUploads(ctx context.Context, folder string) error {
	entries, err := c.reader.List(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := c.tidyUpload(ctx, path.Join(folder, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// upload is the remaining content of an unfinished upload.
type upload struct {
	files  []string
	newest time.Time
	size   int64
}

// tidyUpload deletes an upload, file by file, if the newest of its files and folders is old.
func (c *collector) tidyUpload(ctx context.Context, folder string) error {
	var u upload
	err := c.readUpload(folder, uploadDepth, &u)
	if volume.Missing(err) || errors.Is(err, errNotAnUpload) {
		return nil
	}
	if err != nil || !u.newest.Before(c.oldestUpload) {
		return err
	}
	if c.options.DryRun {
		c.ledger.count(func(r *Report) { r.Candidates.Uploads++; r.Candidates.UploadBytes += u.size })
		return nil
	}
	if hidden, err := c.hideUpload(ctx, u.files); err != nil || !hidden {
		return err
	}
	for _, file := range u.files {
		if err := c.drop(c.cycle, file); err != nil {
			return err
		}
		c.removeEmpty(path.Dir(file), layout.Repositories)
	}
	c.removeEmpty(folder, layout.Repositories)
	c.ledger.count(func(r *Report) { r.Deleted.Uploads++; r.Deleted.UploadBytes += u.size })
	return nil
}

// hideUpload hides the files of an upload, or none of them if a client continues the upload.
func (c *collector) hideUpload(ctx context.Context, files []string) (bool, error) {
	for i, file := range files {
		hidden, err := c.hideOld(ctx, file, c.oldestUpload)
		if err != nil {
			return false, err
		}
		if hidden {
			continue
		}
		for _, file := range files[:i] {
			if err := c.giveBack(c.cycle, file); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	return true, nil
}

// readUpload reads the contents of the folder of an upload.
func (c *collector) readUpload(folder string, depth int, u *upload) error {
	if depth == 0 {
		return errNotAnUpload
	}
	if err := c.newest(folder, u, false); err != nil {
		return err
	}
	entries, err := c.reader.List(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		below := path.Join(folder, e.Name())
		if e.IsDir() {
			err = c.readUpload(below, depth-1, u)
		} else {
			err = c.newest(below, u, e.Type()&fs.ModeType == 0)
			u.files = append(u.files, below)
		}
		if err != nil {
			return err
		}
		if len(u.files) > uploadFiles {
			return errNotAnUpload
		}
	}
	return nil
}

func (c *collector) newest(file string, u *upload, sized bool) error {
	info, err := c.volume.Stat(file)
	if err != nil {
		return err
	}
	if info.ModTime().After(u.newest) {
		u.newest = info.ModTime()
	}
	if sized {
		u.size += info.Size()
	}
	return nil
}
