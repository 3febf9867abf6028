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

// act carries out the verdict. A copy ends if a purge claims its
// Artifact, or if the Artifact is deleted: the error then wraps errGone.
func (r *Reconciler) act(ctx context.Context, a *v1alpha1.Artifact, s seen, v verdict) (done mirror.Copied, err error) {
	if v.step >= stepTag {
		done, err = r.copy(ctx, a, s, v.step == stepTag)
	} else {
		done.Size, err = r.Mirror.Size(ctx, s.store, s.image, v.want)
	}
	if err != nil || v.step == stepAdopt {
		return done, err
	}
	if err := r.current(ctx, a); err != nil { // without its Artifact, an image that a purge has removed must not come back
		return done, err
	}
	return done, r.Mirror.Tag(ctx, s.store, s.image, v.want, v.over)
}

// copy copies an image, and writes its progress. bare is as in mirror.Job.
// The error wraps a slowError if the copy has given up its place to others.
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
	// at represents the source of the copy in lanes.
	at        *v1alpha1.ArtifactStore
	bytes, of atomic.Int64
	finished  chan struct{}
}

// watch writes the progress of a copy until it has finished. It ends the copy if its Artifact is gone, or if its turn
// is over and others wait. A slow source counts as slow in all lanes, so that slow sources cannot take the last place.
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

// percent returns how much of a copy is done. It is 100 only once the Artifact is Present.
func percent(bytes, of int64) int32 {
	if of <= 0 {
		return 0
	}
	return int32(min(99, max(0, 100*(float64(bytes)/float64(of)))))
}
