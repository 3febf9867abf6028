package purge

import (
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// usage is how full the store is.
type usage struct {
	source v1alpha1.UsageSource
	// ledger has what the store's manifests and tombstones reach; nil when that could not be read.
	ledger *ledger
	// missing is what they name and the registry does not have; nil like ledger.
	missing map[reading.Key]bool
	used    int64
	// capacity is what 100 % means; 0 when nothing says it.
	capacity int64
	// uncollected bytes of used were made reclaimable by purges before, as far as that shows.
	uncollected int64
	// collection is the number of the one that a purge asked the cluster's own registry for last; 0 for none.
	collection int64
	// part: only the repositories that have tombstones were read, so that nothing says what is used, and what these share
	// with others counts as reclaimable too.
	part bool
	// owed: the registry is not known to have collected what earlier purges deleted.
	owed bool
	// err says why there is nothing to compare a threshold with.
	err error
}

// percent is how much a number of used bytes is of the capacity, what purges have made
// reclaimable counted as free.
func (u usage) percent(used int64) float64 {
	return 100 * float64(max(0, used-u.uncollected)) / float64(u.capacity)
}

// wanted reports whether a purge depends on usage at all.
func wanted(p v1alpha1.PurgeSpec) bool { return p.ThresholdPercent > 0 || p.TargetPercent > 0 }

// below reports whether so little is used that a purge is not to start.
func (u usage) below(p v1alpha1.PurgeSpec) bool {
	return u.err == nil && u.percent(u.used) < float64(p.ThresholdPercent)
}

// status is what the store says of its usage after a run that made so many bytes reclaimable; nil
// when it was not, or could not be measured.
func (u usage) status(at time.Time, mayGo, went int64) *v1alpha1.StoreUsage {
	accounted := u.source == v1alpha1.UsageAccounted
	if u.ledger == nil || (accounted && u.part) || (!accounted && u.err != nil) {
		return nil
	}
	s := &v1alpha1.StoreUsage{Source: u.source, ReclaimableBytes: max(0, mayGo-went), Collection: u.collection}
	if accounted {
		u.used = max(0, u.used-went)
	} else {
		s.UncollectedBytes = sum(u.uncollected, went)
	}
	u.show(s, at)
	return s
}

// show sets what was measured, and when.
func (u usage) show(s *v1alpha1.StoreUsage, at time.Time) {
	s.UsedBytes, s.MeasuredAt = u.used, metav1.NewTime(at)
	if u.capacity > 0 {
		s.CapacityBytes = &u.capacity
		s.Percent = new(int32(min(100*float64(u.used)/float64(u.capacity), math.MaxInt32)))
	}
}

// text is usage in words, with both numbers.
func (u usage) text() string {
	text := fmt.Sprintf("%.1f %% used (%s of %s)", 100*float64(u.used)/float64(u.capacity), v1alpha1.Bytes(u.used), v1alpha1.Bytes(u.capacity))
	if u.uncollected > 0 {
		text += fmt.Sprintf(", of it %s that earlier purges made reclaimable and the registry has not collected", v1alpha1.Bytes(u.uncollected))
	}
	return text
}

// freed is how many bytes nothing would hold without some digests; 0 if that is not known.
func (u usage) freed(ats []reading.Key) int64 {
	if u.ledger == nil {
		return 0
	}
	return u.ledger.without(ats)
}
