package reading

import (
	"time"

	"github.com/nfo-operator/nfo/internal/workload"
)

// Running is a reading of what the workloads run that a store selects.
type Running struct {
	*workload.Reading
	// Begun is when the reading began. Generation is that of the store whose selection was read.
	Begun      time.Time
	Generation int64
}

// Newer reports whether this reading began after another one.
func (r Running) Newer(than Running) bool { return r.Begun.After(than.Begun) }
