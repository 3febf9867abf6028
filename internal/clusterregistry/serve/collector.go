package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	// statePath is where all processes store the state of collections.
	statePath = "/.nfo/collection.json"
	maxState  = 1 << 20
	// lockPath is the file that a process locks while it changes the state. It waits at most
	// lockTime for the lock of another process, and then changes the state without it.
	lockPath = "/.nfo/collection.lock"
	lockTime = 5 * time.Second
	lockPoll = 5 * time.Millisecond
	// reportTimeout is how long another process's collection counts as running after its last report.
	reportTimeout = 2 * time.Minute
)

// State is the state of collections, as all processes on the volume share it.
type State struct {
	// Running is set while a collection runs.
	Running bool      `json:"running"`
	DryRun  bool      `json:"dryRun,omitempty"`
	Started time.Time `json:"started,omitzero"`
	// Heard is the time of the running collection's last report.
	Heard    time.Time         `json:"heard,omitzero"`
	Progress *collect.Progress `json:"progress,omitempty"`
	// Ended, Last and Error describe the collection that ended last.
	Ended time.Time       `json:"ended,omitzero"`
	Last  *collect.Report `json:"last,omitempty"`
	Error string          `json:"error,omitempty"`
	// Requested counts the requested collections, Done those of them that have ended. A client that requests a
	// collection waits until Done reaches the value of Requested in the answer to its request.
	Requested int64 `json:"requested"`
	Done      int64 `json:"done"`
}

// request is a request for a collection.
type request struct {
	dryRun bool
	// number is the value of State.Requested after this request. It is kept here because the state file may lose it, if
	// another process overwrites the file or somebody deletes it.
	number int64
}

// collector runs one collection at a time in this process. A collection in a second process does no harm.
type collector struct {
	volume   *volume.Volume
	options  collect.Options
	log      *slog.Logger
	counters *counters
	wake     chan request
	mu       sync.Mutex
}

// run runs the requested collections until ctx ends.
func (c *collector) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case asked := <-c.wake:
			c.collect(ctx, asked)
		}
	}
}

// ask requests a collection. Requests that wait at the same time
// share one collection, which is a dry run only if all of them are.
func (c *collector) ask(asked request) (State, error) {
	defer c.lock()()
	state, err := c.read()
	if err != nil {
		return State{}, err
	}
	state.Requested++
	asked.number = state.Requested
	select {
	case waiting := <-c.wake:
		asked.dryRun, asked.number = asked.dryRun && waiting.dryRun, max(asked.number, waiting.number)
	default:
	}
	c.wake <- asked
	err = c.write(state)
	if volume.Full(err) { // The collection frees space, and its end is recorded then.
		c.log.Warn("could not write down that a collection was asked for", "error", err)
		err = nil
	}
	return state, err
}

func (c *collector) collect(ctx context.Context, asked request) {
	began := State{Requested: asked.number}
	err := c.change(func(s *State) {
		*s = State{Running: true, DryRun: asked.dryRun, Started: time.Now(), Heard: time.Now(), Last: s.Last, Ended: s.Ended, Requested: max(s.Requested, asked.number), Done: s.Done}
		began = *s
	})
	if err != nil {
		c.log.Error("could not write down that a collection begins", "error", err)
	}
	o := c.options
	o.DryRun = asked.dryRun
	o.Progress = func(p collect.Progress) {
		if err := c.change(func(s *State) { s.Heard, s.Progress = time.Now(), &p }); err != nil {
			c.log.Warn("could not write down how far the collection is", "error", err)
		}
	}
	report, err := c.cycles(ctx, o)
	c.count(report, err)
	failure := c.change(func(s *State) {
		s.Running, s.Progress, s.Ended, s.Last, s.Error = false, nil, time.Now(), &report, ""
		s.Done = max(s.Done, began.Requested)
		if err != nil {
			s.Error = err.Error()
		}
	})
	if failure != nil {
		c.log.Error("could not write down how the collection ended", "error", failure)
	}
}

// cycles runs a collection. On a full volume a cycle may have no room to hide everything; what it deletes makes room for
// the next cycle, until one deletes nothing.
func (c *collector) cycles(ctx context.Context, o collect.Options) (collect.Report, error) {
	var all collect.Report
	for {
		report, err := collect.Run(ctx, c.volume, o)
		all = report.Continues(all)
		if !volume.Full(err) || report.Deleted == (collect.Counts{}) {
			return all, err
		}
		c.log.Info("the volume had no room to collect everything at once; the collection continues", "report", report.String())
	}
}

// count logs how a collection ended, and counts it.
func (c *collector) count(report collect.Report, err error) {
	outcome := "Succeeded"
	switch {
	case err != nil:
		outcome = "Failed"
		c.log.Error("the collection failed", "error", err)
	case report.DryRun:
		outcome = "DryRun"
	}
	if err == nil {
		c.log.Info("the collection ended", "report", report.String())
	}
	c.counters.collections.WithLabelValues(outcome).Inc()
	c.counters.freed.Add(float64(report.Deleted.Bytes))
}

// state returns the state of collections in all processes.
func (c *collector) state(now time.Time) (State, error) {
	s, err := c.read()
	if s.Running && now.Sub(s.Heard) > reportTimeout {
		s.Running, s.Error = false, "the process that collected has not been heard of since "+s.Heard.UTC().Format(time.RFC3339)+": the next collection gives back what it had hidden"
	}
	return s, err
}

// lock keeps this and other processes from changing the state until unlock is called. It does not fail: without the lock,
// such as on a full volume, a change may be lost, but a collection must be possible.
func (c *collector) lock() (unlock func()) {
	c.mu.Lock()
	var f *os.File
	err := c.volume.WithReserve(func() (err error) {
		f, _, err = c.volume.Append(lockPath)
		return err
	})
	if err != nil {
		c.log.Warn("could not lock the state of collections", "error", err)
		return c.mu.Unlock
	}
	again := time.NewTicker(lockPoll)
	defer again.Stop()
	end := time.Now().Add(lockTime)
	for err = volume.Lock(f); errors.Is(err, volume.ErrLocked) && time.Now().Before(end); err = volume.Lock(f) {
		<-again.C
	}
	if err != nil {
		c.log.Warn("could not lock the state of collections", "error", err)
	}
	return func() {
		_ = f.Close() // Nothing was written to it.
		c.mu.Unlock()
	}
}

func (c *collector) change(by func(*State)) error {
	defer c.lock()()
	s, err := c.read()
	if err != nil {
		return err
	}
	by(&s)
	return c.write(s)
}

func (c *collector) read() (State, error) {
	content, err := c.volume.ReadFile(statePath, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	var s State
	if json.Unmarshal(content, &s) != nil {
		// The file is written atomically, so another program wrote it. Its content is not needed.
		return State{}, nil
	}
	return s, nil
}

func (c *collector) write(s State) error {
	content, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing down the state of collections: %w", err)
	}
	return c.volume.WithReserve(func() error { return c.volume.Write(statePath, content, true) })
}
