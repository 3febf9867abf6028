package usage

import (
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// Measurement is how full the store is.
type Measurement struct {
	// Source is what says what is used.
	Source v1alpha1.UsageSource
	// Ledger has what the store's manifests and tombstones reach; nil when that could not be read.
	Ledger *Ledger
	// Missing is what they name and the registry does not have; nil like Ledger.
	Missing map[reading.Key]bool
	// Used is how many bytes are used.
	Used int64
	// Capacity is what 100 % means; 0 when nothing says it.
	Capacity int64
	// Uncollected bytes of Used were made reclaimable by purges before, as far as that shows.
	Uncollected int64
	// collection is the number of the one that a purge asked the cluster's own registry for last; 0 for none.
	collection int64
	// Part: only the repositories that have tombstones were read, so that nothing says what is used, and what these share
	// with others counts as reclaimable too.
	Part bool
	// Owed: the registry is not known to have collected what earlier purges deleted.
	Owed bool
	// Err says why there is nothing to compare a threshold with.
	Err error
}

// Percent is how much a number of used bytes is of the capacity, what purges have made
// reclaimable counted as free.
func (u Measurement) Percent(used int64) float64 {
	return 100 * float64(max(0, used-u.Uncollected)) / float64(u.Capacity)
}

// Needed reports whether a purge depends on usage at all.
func Needed(p v1alpha1.PurgeSpec) bool { return p.ThresholdPercent > 0 || p.TargetPercent > 0 }

// Below reports whether so little is used that a purge is not to start.
func (u Measurement) Below(p v1alpha1.PurgeSpec) bool {
	return u.Err == nil && u.Percent(u.Used) < float64(p.ThresholdPercent)
}

// Status is what the store says of its usage after a run that made so many bytes reclaimable; nil
// when it was not, or could not be measured.
func (u Measurement) Status(at time.Time, mayGo, went int64) *v1alpha1.StoreUsage {
	accounted := u.Source == v1alpha1.UsageAccounted
	if u.Ledger == nil || (accounted && u.Part) || (!accounted && u.Err != nil) {
		return nil
	}
	s := &v1alpha1.StoreUsage{Source: u.Source, ReclaimableBytes: max(0, mayGo-went), Collection: u.collection}
	if accounted {
		u.Used = max(0, u.Used-went)
	} else {
		s.UncollectedBytes = sum(u.Uncollected, went)
	}
	u.show(s, at)
	return s
}

// show sets what was measured, and when.
func (u Measurement) show(s *v1alpha1.StoreUsage, at time.Time) {
	s.UsedBytes, s.MeasuredAt = u.Used, metav1.NewTime(at)
	if u.Capacity > 0 {
		s.CapacityBytes = &u.Capacity
		s.Percent = new(int32(min(100*float64(u.Used)/float64(u.Capacity), math.MaxInt32)))
	}
}

// Text is usage in words, with both numbers.
func (u Measurement) Text() string {
	text := fmt.Sprintf("%.1f %% used (%s of %s)", 100*float64(u.Used)/float64(u.Capacity), v1alpha1.Bytes(u.Used), v1alpha1.Bytes(u.Capacity))
	if u.Uncollected > 0 {
		text += fmt.Sprintf(", of it %s that earlier purges made reclaimable and the registry has not collected", v1alpha1.Bytes(u.Uncollected))
	}
	return text
}

// Freed is how many bytes nothing would hold without some digests; 0 if that is not known.
func (u Measurement) Freed(ats []reading.Key) int64 {
	if u.Ledger == nil {
		return 0
	}
	return u.Ledger.without(ats)
}
