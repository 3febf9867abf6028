package collect

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// each calls act for each path, with at most Options.Workers calls at a time, until one fails or ctx ends.
func (c *collector) each(ctx context.Context, files iter.Seq[string], act func(ctx context.Context, file string) error) error {
	all, within := errgroup.WithContext(ctx)
	all.SetLimit(c.options.Workers)
	for file := range files {
		if within.Err() != nil {
			break
		}
		one := func() error {
			if err := within.Err(); err != nil {
				return err
			}
			c.progress.done()
			return act(within, file)
		}
		if c.options.Workers > 1 {
			all.Go(one)
		} else if err := one(); err != nil {
			return err
		}
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// hide hides a candidate. It restores a file at once that was published just before, and is therefore young.
func (c *collector) hide(ctx context.Context, file string) error {
	hidden, err := c.hideOld(ctx, file, c.oldest)
	if err != nil || !hidden {
		return err
	}
	c.ledger.count(func(r *Report) { *r.Hidden.of(layout.Parse(file).Kind)++ })
	return nil
}

// hideOld hides a file if it is older than oldest, and reports whether it is hidden now.
func (c *collector) hideOld(ctx context.Context, file string, oldest time.Time) (bool, error) {
	if err := c.limit.Wait(ctx); err != nil {
		return false, err
	}
	c.hook("hiding", file)
	hidden, err := c.volume.Hide(c.cycle, file)
	c.hook("hidden", file)
	if err != nil || !hidden {
		return false, err
	}
	info, err := c.volume.Stat(volume.HiddenPath(c.cycle, file))
	if volume.Missing(err) { // A reader has restored it.
		return false, nil
	}
	if err != nil || info.ModTime().Before(oldest) {
		return err == nil, err
	}
	return false, c.giveBack(c.cycle, file)
}

// giveBack restores a file that a cycle has hidden, if it is still hidden.
func (c *collector) giveBack(cycle, file string) error {
	c.hook("giving back", file)
	back, err := c.volume.GiveBack(cycle, file)
	c.hook("given back", file)
	if err != nil || !back {
		return err
	}
	if cycle == c.cycle {
		c.ledger.count(func(r *Report) { *r.GivenBack.of(layout.Parse(file).Kind)++ })
	} else {
		c.ledger.count(func(r *Report) { r.Adopted++ })
	}
	return nil
}

// giveAllBack restores everything that a cycle has hidden in the order of the paths: blobs, then layer links, then
// revisions. If a file's place is taken, the hidden file may be deleted.
func (c *collector) giveAllBack(ctx context.Context, cycle string) error {
	err := c.volume.Hidden(cycle, func(file string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Files directly in the trash, and files that an NFS client keeps
		// for readers of a removed file, were not hidden by a cycle.
		if file == "" || strings.HasPrefix(path.Base(file), ".nfs") {
			return nil
		}
		c.progress.done()
		if err := c.giveBack(cycle, file); err != nil {
			return err
		}
		return c.discardDouble(cycle, file)
	})
	if err != nil {
		return err
	}
	c.end(cycle)
	return nil
}

// discardDouble deletes a hidden file if its place has a file of the same size. This is safe because a cycle hides a
// file at most once: the hidden file cannot be the one that was just seen in the place.
func (c *collector) discardDouble(cycle, file string) error {
	hidden, err := c.volume.Stat(volume.HiddenPath(cycle, file))
	if volume.Missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	placed, err := c.volume.Stat(file)
	if volume.Missing(err) || err == nil && placed.Size() != hidden.Size() {
		return nil
	}
	if err != nil {
		return err
	}
	return c.drop(cycle, file)
}

func (c *collector) drop(cycle, file string) error {
	c.hook("discarding", file)
	err := c.volume.Discard(cycle, file)
	c.hook("discarded", file)
	return err
}

// discard deletes a file that this cycle has hidden, and the folders that become empty.
func (c *collector) discard(ctx context.Context, file string) error {
	info, err := c.volume.Stat(volume.HiddenPath(c.cycle, file))
	if volume.Missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.limit.Wait(ctx); err != nil {
		return err
	}
	if err := c.drop(c.cycle, file); err != nil {
		return err
	}
	kind, upTo := layout.Parse(file).Kind, layout.Repositories
	if kind == layout.Blob {
		upTo = layout.Blobs
	}
	c.removeEmpty(path.Dir(file), upTo)
	c.ledger.count(func(r *Report) {
		*r.Deleted.of(kind)++
		if kind == layout.Blob {
			r.Deleted.Bytes += info.Size()
		}
	})
	return nil
}

// removeEmpty removes a folder and those above it that are empty, up to but excluding upTo.
func (c *collector) removeEmpty(folder, upTo string) {
	c.hook("removing", folder)
	c.volume.RemoveEmpty(folder, upTo)
	c.hook("removed", folder)
}

// undo restores what this cycle has hidden after an error. If ctx ends, it continues for at most undoTime. What is
// still hidden after that is restored by the next cycle, or by a reader that needs it.
func (c *collector) undo(ctx context.Context, cause error) error {
	err := c.giveAllBack(ctx, c.cycle)
	if ctx.Err() != nil {
		fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		err = c.giveAllBack(fresh, c.cycle)
	}
	if err != nil {
		return errors.Join(cause, fmt.Errorf("giving back what the cycle %s has hidden: %w: nothing is lost, reads find hidden files, and the next collection gives the rest back", c.cycle, err))
	}
	return fmt.Errorf("%w; everything that the cycle %s had hidden and not yet deleted was given back", cause, c.cycle)
}
