package sweep

import (
	"context"
	"time"

	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// maxRunning is the greatest age of a reading of the workloads that deletions may rely on. A reading of a large
// cluster takes seconds. The reading after the deletions finds what has started since, and what it needs is restored.
const maxRunning = 2 * time.Minute

// runs reads what the workloads run, unless a reading that began after the given one is younger than age.
func (s *sweeper) runs(ctx context.Context, after int, age time.Duration) (reading.Running, error) {
	fresh := func(r reading.Running) bool { return s.clock.Since(r.Begun) < age }
	return s.running.Read(ctx, after, fresh, func() (reading.Running, error) { return s.readRunning(ctx, s.planned.Store) })
}
