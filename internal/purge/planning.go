package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/purge/usage"
)

// planned is a plan, and what it was made from.
type planned struct {
	readings map[string]reading.Repository
	verdicts []plan.Verdict
	usage    usage.Measurement
}

// plan reads every repository that has something that may be deleted or that is
// untagged, and decides. It writes nothing (I8). The error lists repositories that
// could not be read. Everything in them is kept, and the plan is complete without them.
func (cfg Config) plan(ctx context.Context, c plan.Cluster, r *reading.Reader) (planned, error) {
	todo := c.Todo()
	p := planned{readings: make(map[string]reading.Repository, len(todo))}
	var mu sync.Mutex
	var errs []error
	unreferenced, listErr := r.Unreferenced(ctx, c.Store)
	if listErr != nil {
		errs = append(errs, listErr)
	}
	var g errgroup.Group
	g.SetLimit(r.Requests())
	looked := 0
	for _, repository := range todo {
		g.Go(func() error {
			found, read, err := study(ctx, c, r, repository, unreferenced)
			mu.Lock()
			defer mu.Unlock()
			if looked++; read {
				p.readings[repository] = found
				cfg.Log.Info("Read", "repository", repository, "number", looked, "of", len(todo))
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("reading %s: %w", repository, err))
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs, so that one repository does not stop another
	p.usage = usage.Meter{Store: c.Store, Volume: cfg.Volume, Reader: r}.Measure(ctx, c.Counted(!usage.ReadsAll(c.Store), p.readings), p.readings)
	p.verdicts = plan.Ration(plan.Decide(c, p.readings), c.Store.Spec.Purge, p.usage)
	return p, summed(errs)
}

// study reads a repository if something in it may be deleted. If the registry has a list of image manifests and does
// not return it, the repository is unreadable: what is locked in it, and thereby protects its parts, is unknown (I2).
func study(ctx context.Context, c plan.Cluster, r *reading.Reader, repository string, unreferenced map[string][]digest.Digest) (found reading.Repository, read bool, err error) {
	l := reading.Listing{Untagged: unreferenced[repository]}
	if !c.Store.InClusterRegistry() {
		l, err = r.List(ctx, repository)
	}
	switch {
	case len(l.Untagged) == 0 && !c.Concerns(repository):
		return reading.Repository{}, false, err
	case err != nil:
		return reading.Repository{Err: err}, true, err
	}
	found = r.Read(ctx, repository, slices.Concat(c.Starts(repository), l.Untagged, l.Locked))
	found.Listed, found.Locked, found.Unlisted = l.Untagged, l.Locked, l.Absent
	if unreferenced != nil {
		found.Unreferenced = make(map[digest.Digest]bool, len(l.Untagged))
		for _, d := range l.Untagged {
			found.Unreferenced[d] = true
		}
	}
	return found, true, found.Err
}

// summed joins many errors to one: the first in order, and how many more there are.
func summed(errs []error) error {
	if len(errs) <= 1 {
		return errors.Join(errs...)
	}
	least := errs[0]
	for _, err := range errs {
		if err.Error() < least.Error() {
			least = err
		}
	}
	more, noun := len(errs)-1, "errors"
	if more == 1 {
		noun = "error"
	}
	return fmt.Errorf("%w; reading the registry had %d more %s", least, more, noun)
}
