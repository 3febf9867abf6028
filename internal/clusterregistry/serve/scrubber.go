package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/scrub"
)

// scrubRetry is the time between a failed scrub and the next attempt.
const scrubRetry = time.Minute

// scrub runs one pass after another until ctx ends.
func (r *Registry) scrub(ctx context.Context) {
	o := r.o.Scrub
	o.Holder = rand.Text()
	o.Read = func(bytes int64) { r.counters.scrubbed.Add(float64(bytes)) }
	o.Found = func(d digest.Digest, reason error) {
		counter := r.counters.unreadable
		if errors.Is(reason, scrub.ErrCorrupt) {
			counter = r.counters.corrupt
		}
		counter.Inc()
		r.o.Log.Error("a blob is corrupt or cannot be read: push or copy the images that need it again", "digest", d, "error", reason)
	}
	for ctx.Err() == nil {
		report, err := scrub.Run(ctx, r.o.Volume, o)
		if err == nil {
			r.o.Log.Info("the scrub ended a pass", "report", report.String())
			continue
		}
		if errors.Is(err, scrub.ErrTaken) {
			r.o.Log.Info("the scrub waits until another replica ends it", "reason", err)
			continue
		}
		if ctx.Err() == nil {
			r.o.Log.Error("the scrub cannot go on: it tries again in a minute", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(scrubRetry):
		}
	}
}
