package reading

import (
	"time"

	"github.com/nfo-operator/nfo/internal/workload"
)

// Running is a reading of what workloads run, and of which generation of the store.
type Running struct {
	*workload.Reading
	// Begun is when it began, and Generation that of the store whose selection was read.
	Begun      time.Time
	Generation int64
}

// Newer reports whether a reading was begun after another one.
func (r Running) Newer(than Running) bool { return r.Begun.After(than.Begun) }
