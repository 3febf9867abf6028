package artifact

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/mirror"
)

// progressEvery is how often the progress of a copy is written.
const progressEvery = 10 * time.Second

// act does what was decided. A copy ends when its Artifact is claimed by a purge, or deleted: the error then wraps
// errGone.
func (r *Reconciler) act(ctx context.Context, a *v1alpha1.Artifact, s seen, v verdict) (done mirror.Copied, err error) {
	if v.step >= stepTag {
		done, err = r.copy(ctx, a, s, v.step == stepTag)
	} else {
		done.Size, err = r.Mirror.Size(ctx, s.store, s.image, v.want)
	}
	if err != nil || v.step == stepAdopt {
		return done, err
	}
	if err := r.current(ctx, a); err != nil { // what a purge has removed must not come back without an Artifact
		return done, err
	}
	return done, r.Mirror.Tag(ctx, s.store, s.image, v.want, v.over)
}

// copy copies, and writes how far it is. bare is as in mirror.Job.
func (r *Reconciler) copy(ctx context.Context, a *v1alpha1.Artifact, s seen, bare bool) (mirror.Copied, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var bytes, of atomic.Int64
	finished := make(chan struct{})
	var watching sync.WaitGroup
	mine := a.DeepCopy()
	watching.Go(func() {
		every := time.NewTicker(progressEvery)
		defer every.Stop()
		for {
			select {
			case <-finished:
				return
			case <-every.C:
			}
			if err := r.progress(ctx, mine, bytes.Load(), of.Load()); errors.Is(err, errGone) {
				cancel(err)
				return
			}
		}
	})
	done, err := r.Mirror.Copy(ctx, mirror.Job{Image: s.image, Mirror: s.store, Answer: s.there, Bare: bare, Moved: func(n, all int64) {
		bytes.Add(n)
		of.Store(all)
	}})
	close(finished)
	watching.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, errGone) {
		err = cause
	}
	return done, err
}

// percent is how much of a copy is done; 100 only when all is said and done.
func percent(bytes, of int64) int32 {
	if of <= 0 {
		return 0
	}
	return int32(min(99, max(0, 100*(float64(bytes)/float64(of)))))
}
