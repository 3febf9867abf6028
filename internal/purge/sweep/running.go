package sweep

import (
	"context"
	"time"

	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// maxRunning is the age up to which a reading of what workloads run serves deletions. A reading of a large cluster takes
// seconds. What began to run since is found by the reading after the deletions, and put back.
const maxRunning = 2 * time.Minute

// runs reads what workloads run, unless a reading that was begun after another one is young enough.
func (s *sweeper) runs(ctx context.Context, after int, age time.Duration) (reading.Running, error) {
	fresh := func(r reading.Running) bool { return s.clock.Since(r.Begun) < age }
	return s.running.read(ctx, after, fresh, func() (reading.Running, error) { return s.readRunning(ctx, s.planned.Store) })
}
