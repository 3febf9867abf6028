package collect

import (
	"errors"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/mark"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// Options configures a cycle. The zero value of each field selects its default.
type Options struct {
	// Grace is the age below which a file is never a candidate. Default: 1
	// hour. Temporary files and empty folders are kept for at least a minute.
	Grace time.Duration
	// Dwell is the time between the last rename of C2 and the second mark. Default: 1
	// second if all processes see the same state of the volume, otherwise twice
	// Volume.Stale plus 30 seconds. A time shorter than twice Volume.Stale is not safe.
	Dwell time.Duration
	// DryRun reports the candidates and changes nothing.
	DryRun bool
	// Untagged makes revisions candidates if no tag, index or subject keeps them. By default every revision is a root,
	// except those whose deletion was requested; see mark.Unreferenced.
	Untagged bool
	// Rate bounds the files that are hidden or deleted, per second. Default: 0, unlimited.
	Rate int
	// Workers is how many repositories or files are processed at a time. Default: 8.
	Workers int
	// Uploads is the age of its newest file above which an unfinished upload
	// is deleted, and at least a minute. Default: Grace, and at least an hour.
	Uploads time.Duration
	// Progress is called at the beginning of each phase. After that it is called
	// from any goroutine, at least every 30 seconds and at most once a second.
	Progress func(Progress)
}

// Phase is a part of a cycle.
type Phase string

// The phases, in order. A dry run has only Marking and Tidying.
const (
	Adopting     Phase = "giving back what earlier cycles hid"
	Marking      Phase = "marking what is in use"
	Hiding       Phase = "hiding what is not in use"
	Waiting      Phase = "waiting"
	MarkingAgain Phase = "marking again"
	GivingBack   Phase = "giving back what is in use now"
	Deleting     Phase = "deleting"
	Tidying      Phase = "deleting stale uploads and temporary files"
)

// Progress says how far a cycle has come.
type Progress struct {
	Phase Phase `json:"phase"`
	// Done counts the repositories or files that this phase has processed.
	Done int `json:"done"`
}

// NewUnreferenced returns the mark.Unreferenced of a volume,
// with the grace period of the cycles that have these options.
func NewUnreferenced(v *volume.Volume, o Options) (*mark.Unreferenced, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return mark.NewUnreferenced(v, o.withDefaults(v).Grace)
}

func (o Options) validate() error {
	if min(o.Grace, o.Dwell, o.Uploads) < 0 || min(o.Rate, o.Workers) < 0 {
		return errors.New("invalid options: a duration, the rate or the number of workers is negative")
	}
	return nil
}

func (o Options) withDefaults(v *volume.Volume) Options {
	dwell := time.Second
	if stale := v.Stale(); stale > 0 {
		dwell = 2*stale + 30*time.Second
	}
	for _, d := range []struct {
		option *time.Duration
		value  time.Duration
	}{{&o.Grace, time.Hour}, {&o.Dwell, dwell}} {
		if *d.option == 0 {
			*d.option = d.value
		}
	}
	if o.Uploads == 0 {
		o.Uploads = max(o.Grace, time.Hour)
	}
	if o.Workers == 0 {
		o.Workers = 8
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o
}
