package collect

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/mark"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	// undoTime bounds restoring after the context has ended. A pod has 30 seconds to terminate.
	undoTime = 20 * time.Second
	// progressTime is the time between two calls of Options.Progress in a phase.
	progressTime = time.Second
	// beatTime is the longest time between two calls of Options.Progress.
	beatTime = 30 * time.Second
)

// Run runs one cycle on a volume. It is safe to run at the same time as other cycles and any number of writers that
// follow the protocol. An error says what stopped the cycle and what to do; unless it says otherwise, everything that
// the cycle had hidden was restored. The report is also valid after an error.
func Run(ctx context.Context, v *volume.Volume, o Options) (Report, error) {
	if err := o.validate(); err != nil {
		return Report{}, err
	}
	return run(ctx, v, o, func(string, string) {})
}

// run is Run with a hook, which is called before and after each change to the volume, and in C3.
func run(ctx context.Context, v *volume.Volume, o Options, hook func(step, file string)) (Report, error) {
	o = o.withDefaults(v)
	now, err := v.Now()
	if err != nil {
		return Report{}, err
	}
	cycle, err := cycleAt(now)
	if err != nil {
		return Report{}, err
	}
	reader, err := mark.NewReader(v, now, o.Grace)
	if err != nil {
		return Report{}, err
	}
	c := &collector{
		volume:          v,
		reader:          reader,
		options:         o,
		oldest:          reader.Before(o.Grace),
		oldestUpload:    reader.Before(max(o.Uploads, minTemporary)),
		oldestTemporary: reader.Before(max(o.Grace, minTemporary)),
		cycle:           cycle,
		hook:            hook,
		limit:           rate.NewLimiter(rate.Inf, 0),
		progress:        &progress{tell: o.Progress},
		ledger:          &ledger{report: Report{Cycle: cycle, DryRun: o.DryRun, Took: map[Phase]time.Duration{}}},
	}
	if o.Rate > 0 {
		c.limit = rate.NewLimiter(rate.Limit(o.Rate), 1)
	}
	stop := c.progress.beat()
	defer stop()
	err = c.run(ctx)
	return c.ledger.copy(), err
}

// cycleAt returns a unique name for a cycle. The names sort by time.
func cycleAt(now time.Time) (string, error) {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("naming the cycle: %w", err)
	}
	return now.UTC().Format("20060102T150405.000000000Z") + "-" + hex.EncodeToString(random[:]), nil
}

// collector is one cycle.
type collector struct {
	volume  *volume.Volume
	reader  *mark.Reader
	options Options
	// oldest, oldestUpload and oldestTemporary are the times, by the volume's
	// clock, from which on files of the tree, uploads and temporary files are kept.
	oldest, oldestUpload, oldestTemporary time.Time
	cycle                                 string
	hook                                  func(step, file string)
	limit                                 *rate.Limiter
	progress                              *progress
	ledger                                *ledger
	// full is set if the volume had no space to hide all candidates, and says why.
	full error
}

func (c *collector) run(ctx context.Context) error {
	if !c.options.DryRun {
		if err := c.phase(Adopting, func() error { return c.adopt(ctx) }); err != nil {
			return fmt.Errorf("giving back what earlier collections have hidden: %w: this collection has hidden nothing; check the volume, the next collection retries", err)
		}
	}
	var found *mark.Plan
	err := c.phase(Marking, func() (err error) {
		found, err = c.markFirst(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("marking what is in use: %w: nothing was hidden or deleted, because what cannot be read may be in use; check the volume and its permissions, the next collection retries", err)
	}
	if !c.options.DryRun {
		if err := c.sweep(ctx, found); err != nil {
			return c.undo(ctx, err)
		}
	}
	if err := c.phase(Tidying, func() error { return c.tidy(ctx) }); err != nil {
		return c.undo(ctx, fmt.Errorf("deleting stale uploads and temporary files: %w: the collection of manifests and blobs is complete, the next one retries the rest", err))
	}
	if c.options.DryRun {
		return nil
	}
	c.end(c.cycle)
	if c.full != nil {
		return fmt.Errorf("%w: the volume had no room to hide more; what was hidden is deleted, unless it is in use now, and the next collection continues", c.full)
	}
	c.removeRequests(found.Deletions())
	return nil
}

// removeRequests deletes the requests for deletions that the cycle has read, including those for
// revisions that are in use: the caller finds such a revision again. A request that
// cannot be deleted does no harm, because it is void once its revision is written again.
func (c *collector) removeRequests(deletions []string) {
	for _, file := range deletions {
		if c.volume.Remove(file) == nil {
			c.removeEmpty(path.Dir(file), volume.Deletions)
		}
	}
}

// adopt is C0: it restores what earlier cycles have hidden.
func (c *collector) adopt(ctx context.Context) error {
	cycles, err := c.volume.Cycles()
	if err != nil {
		return err
	}
	for _, cycle := range cycles {
		if err := c.giveAllBack(ctx, cycle); err != nil {
			return err
		}
	}
	return nil
}

// markFirst is C1: it marks, and returns the candidates.
func (c *collector) markFirst(ctx context.Context) (*mark.Plan, error) {
	m := mark.New(c.reader, c.cycle, c.options.Untagged, nil)
	defer func() { c.ledger.marked(m.Tally()) }()
	if err := m.Run(ctx, c.options.Workers, c.progress.done); err != nil {
		return nil, err
	}
	folders, err := c.reader.BlobFolders()
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, slices.Values(folders), func(_ context.Context, folder string) error { return m.UnreachedBlobs(folder) })
	return m.Found(), err
}

// markAgain is the first part of C4: it marks again.
func (c *collector) markAgain(ctx context.Context, found *mark.Plan) (*mark.Mark, error) {
	m := mark.New(c.reader, c.cycle, c.options.Untagged, found)
	defer func() { c.ledger.marked(m.Tally()) }()
	return m, m.Run(ctx, c.options.Workers, c.progress.done)
}

// sweep is C2 to C5. After an error, the caller restores everything.
func (c *collector) sweep(ctx context.Context, found *mark.Plan) error {
	err := c.phase(Hiding, func() error {
		for _, kind := range mark.Order {
			err := c.each(ctx, found.Paths(kind), c.hide)
			if volume.Full(err) { // Deleting what is hidden makes space for more.
				c.full = fmt.Errorf("hiding what is not in use: %w", err)
				return nil
			}
			if err != nil {
				return fmt.Errorf("hiding what is not in use: %w: check the volume, the next collection retries", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.ledger.copy().Hidden == (Counts{}) {
		return nil
	}
	if err := c.phase(Waiting, func() error { return c.dwell(ctx) }); err != nil {
		return err
	}
	var m *mark.Mark
	err = c.phase(MarkingAgain, func() (err error) {
		m, err = c.markAgain(ctx, found)
		return err
	})
	if err != nil {
		return fmt.Errorf("marking what is in use once more: %w: nothing was deleted, because what cannot be read may be in use; check the volume and its permissions, the next collection retries", err)
	}
	if err := c.phase(GivingBack, func() error { return c.giveBackReached(ctx, found, m) }); err != nil {
		return fmt.Errorf("giving back what is in use now: %w: nothing was deleted; check the volume, the next collection retries", err)
	}
	return c.phase(Deleting, func() error { return c.deleteRest(ctx, found) })
}

// dwell is C3: it waits for Options.Dwell.
func (c *collector) dwell(ctx context.Context) error {
	c.hook("waiting", "")
	timer := time.NewTimer(c.options.Dwell)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting before files are deleted: %w: nothing was deleted, the next collection retries", context.Cause(ctx))
	}
}

// giveBackReached is the second part of C4: it restores what the second mark reaches, blobs first.
func (c *collector) giveBackReached(ctx context.Context, found *mark.Plan, m *mark.Mark) error {
	err := c.each(ctx, found.Paths(layout.Blob), func(_ context.Context, file string) error {
		reached, err := m.ReachedBlob(layout.Parse(file).Digest)
		if err != nil || !reached {
			return err
		}
		return c.giveBack(c.cycle, file)
	})
	for _, kind := range slices.Backward(mark.Order) {
		if err != nil {
			return err
		}
		err = c.each(ctx, m.Back().Paths(kind), func(_ context.Context, file string) error { return c.giveBack(c.cycle, file) })
	}
	return err
}

// deleteRest is C5: it deletes what is still hidden.
func (c *collector) deleteRest(ctx context.Context, found *mark.Plan) error {
	for _, kind := range mark.Order {
		if err := c.each(ctx, found.Paths(kind), c.discard); err != nil {
			return fmt.Errorf("deleting what is not in use: %w: check the volume, the next collection retries", err)
		}
	}
	return nil
}

// end removes the folders of a cycle if they are empty. A network file system keeps a file there while a process still
// reads it; its folder stays until a later cycle.
func (c *collector) end(cycle string) { _ = c.volume.End(cycle) }

// phase runs a phase, reports its beginning and measures it.
func (c *collector) phase(p Phase, do func() error) error {
	c.progress.begin(p)
	began := time.Now()
	err := do()
	c.ledger.count(func(r *Report) { r.Took[p] += time.Since(began) })
	return err
}

// progress reports how far a cycle has come. It is safe for concurrent use.
type progress struct {
	mu       sync.Mutex
	now      Progress
	reported time.Time
	tell     func(Progress)
}

func (p *progress) begin(phase Phase) {
	p.mu.Lock()
	p.now, p.reported = Progress{Phase: phase}, time.Now()
	now := p.now
	p.mu.Unlock()
	p.tell(now)
}

// beat reports progress regularly until stop returns, so that the
// cycle is known to run while it waits or one file takes long.
func (p *progress) beat() (stop func()) {
	ended := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		ticker := time.NewTicker(beatTime)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.add(0)
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		beating.Wait()
	}
}

func (p *progress) done() { p.add(1) }

func (p *progress) add(done int) {
	p.mu.Lock()
	p.now.Done += done
	now, due := p.now, time.Since(p.reported) >= progressTime
	if due {
		p.reported = time.Now()
	}
	p.mu.Unlock()
	if due {
		p.tell(now)
	}
}
