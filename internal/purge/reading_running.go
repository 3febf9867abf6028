package purge

import (
	"time"

	"github.com/nfo-operator/nfo/internal/workload"
)

// running is a reading of what workloads run, and of which generation of the store.
type running struct {
	*workload.Reading
	begun      time.Time
	generation int64
}

// newer reports whether a reading was begun after another one.
func (r running) newer(than running) bool { return r.begun.After(than.begun) }
