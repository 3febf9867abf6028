package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// The collection comes after the whole purge, which may have requested a deletion long
// before. So the uses are read again right before the purge asks for the collection.
// What something in the registry needs meanwhile, the collection itself detects.

// lastLook withdraws requested deletions of digests that are now
// used, or all requested deletions if the uses cannot be read.
func (s *sweeper) lastLook(ctx context.Context) error {
	asked := slices.DeleteFunc(slices.Clone(s.asked), func(at reading.Key) bool { return !s.plan.deleted[at] })
	if len(asked) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	after, err := s.readAgain(ctx)
	if err != nil {
		err = fmt.Errorf("looking who uses what the registry was asked to delete: %w", err)
	}
	errs := []error{err}
	for _, at := range asked {
		why, message := plan.UseUnknown, plan.NotRead
		if err == nil {
			why, message = plan.InUse, "an Artifact or a workload names it again"
			if !after.names(pathOf(at.Repository), at.Digest) {
				continue
			}
		}
		errs = append(errs, s.takeBack(ctx, at, why, message))
	}
	return errors.Join(errs...)
}

// takeBack pushes a digest again whose deletion was requested, which cancels the request.
func (s *sweeper) takeBack(ctx context.Context, at reading.Key, why plan.Reason, message string) error {
	s.env.Log.Info("Keeping what is used again before the registry has deleted it", "repository", at.Repository, "digest", at.Digest, "why", message)
	m, err := s.plan.reader.Whole(ctx, at)
	if err == nil {
		err = s.env.Registry.Restore(ctx, at.Repository, m, nil)
	}
	if err != nil {
		err = fmt.Errorf("taking back %s of %s: %w", at.Digest, at.Repository, err)
		s.doubted(err)
	}
	delete(s.plan.deleted, at)
	for _, i := range s.plan.items {
		if i.Delete && i.loose() && i.Repository == at.Repository && i.Digest == at.Digest {
			i.Keep(why, message)
		}
	}
	return err
}
