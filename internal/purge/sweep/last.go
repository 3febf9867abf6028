package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// The collection comes after the whole purge, which may have requested a deletion long
// before. So the cluster is read again right before the purge asks for the collection.
// What something in the registry needs meanwhile, the collection itself detects.

// lastLookTimeout bounds lastLook, also for a sweep that was asked to stop.
const lastLookTimeout = 2 * time.Minute

// lastLook withdraws requested deletions of digests that are now
// used, or all requested deletions if the cluster cannot be read.
func (s *sweeper) lastLook(ctx context.Context) error {
	asked := slices.DeleteFunc(slices.Clone(s.asked), func(at reading.Key) bool { return !s.verdict(at).Delete })
	if len(asked) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLookTimeout)
	defer cancel()
	c, err := s.lastCluster(ctx)
	if err != nil {
		err = fmt.Errorf("looking who uses what the registry was asked to delete: %w", err)
	}
	errs := []error{err}
	for _, at := range asked {
		why := plan.NotRead
		if err == nil {
			why = c.NamedBy(at)
		}
		if why == "" {
			continue
		}
		m, gone := s.reader.Whole(ctx, at)
		if gone != nil {
			s.doubted(gone)
			errs = append(errs, fmt.Errorf("taking back %s of %s: %s", at.Digest, at.Repository, gone.Error()))
			continue
		}
		errs = append(errs, s.takeBack(ctx, at, m, why))
	}
	return errors.Join(errs...)
}

func (s *sweeper) lastCluster(ctx context.Context) (plan.Cluster, error) {
	run, err := s.runs(ctx, s.running.Mark(), maxRunning)
	if err != nil {
		return plan.Cluster{}, err
	}
	c, err := s.readCluster(ctx, run)
	if err == nil {
		err = c.Refusal
	}
	return c, err
}
