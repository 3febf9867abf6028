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

// copy copies, and writes how far it is. bare is as in mirror.Job. The error wraps a slowError if the copy has given up its
// place for others.
func (r *Reconciler) copy(ctx context.Context, a *v1alpha1.Artifact, s seen, bare bool) (mirror.Copied, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := &moving{artifact: a.DeepCopy(), at: mirror.Place(a.Namespace, s.image), finished: make(chan struct{})}
	var watching sync.WaitGroup
	watching.Go(func() { r.watch(ctx, m, cancel) })
	done, err := r.Mirror.Copy(ctx, mirror.Job{Image: s.image, Mirror: s.store, Answer: s.there, Bare: bare, Moved: func(n, all int64) {
		m.bytes.Add(n)
		m.of.Store(all)
	}})
	close(m.finished)
	watching.Wait()
	var slow slowError
	if cause := context.Cause(ctx); errors.Is(cause, errGone) || err != nil && errors.As(cause, &slow) {
		err = cause
	}
	return done, err
}

// moving is a copy that runs.
type moving struct {
	artifact *v1alpha1.Artifact
	// at stands for its source in lanes.
	at        *v1alpha1.ArtifactStore
	bytes, of atomic.Int64
	finished  chan struct{}
}

// watch writes how far a copy is until it has finished, and ends it if its Artifact is gone, or if its turn is over and
// others wait. A slow source counts as slow in all lanes, so that one place to copy is free of these.
func (r *Reconciler) watch(ctx context.Context, m *moving, end context.CancelCauseFunc) {
	before, _ := r.dues.Get(m.artifact.UID)
	p := newPace(r.pace, r.Clock.Now())
	every := time.NewTicker(r.pace.every)
	defer every.Stop()
	for {
		select {
		case <-m.finished:
			return
		case <-every.C:
		}
		moved := m.bytes.Load()
		if err := r.progress(ctx, m.artifact, moved, m.of.Load()); errors.Is(err, errGone) {
			end(err)
			return
		}
		now := r.Clock.Now()
		rate, known := p.note(now, moved)
		if !known {
			continue
		}
		if rate < p.slow() {
			r.speeds.Slow(m.at.UID)
		}
		if now.Sub(p.begun) >= p.turn(before.given, rate) && r.Copies.Yield(m.at) {
			end(slowError(rate))
			return
		}
	}
}

// percent is how much of a copy is done; 100 only when all is said and done.
func percent(bytes, of int64) int32 {
	if of <= 0 {
		return 0
	}
	return int32(min(99, max(0, 100*(float64(bytes)/float64(of)))))
}
