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
	// Source is where usage was read from.
	Source v1alpha1.UsageSource
	// Ledger has what the store's manifests and tombstones reach; nil if that could not be read.
	Ledger *Ledger
	// Missing are the digests that these lead to and that the registry does not have; nil if Ledger is nil.
	Missing map[reading.Key]bool
	// Used is how many bytes are used.
	Used int64
	// Capacity is how many bytes count as 100 %; 0 if unknown.
	Capacity int64
	// Uncollected is how many of the Used bytes earlier purges have made
	// reclaimable and the registry has not freed yet, as far as known.
	Uncollected int64
	// collection is the number of the last collection that a purge asked the cluster's own registry for; 0 for none.
	collection int64
	// Part: only repositories that have tombstones were read. The ledger does not have what the whole
	// store uses, and blobs that these repositories share with others count as reclaimable too.
	Part bool
	// Owed: the registry may not have collected yet what earlier purges deleted.
	Owed bool
	// Err says why usage, or the capacity to compare it with, is unknown.
	Err error
}

// Percent returns the percentage of the capacity that a number of used
// bytes is. What earlier purges have made reclaimable counts as free.
func (u Measurement) Percent(used int64) float64 {
	return 100 * float64(max(0, used-u.Uncollected)) / float64(u.Capacity)
}

// Needed reports whether a purge depends on usage: whether it has a threshold or a target.
func Needed(p v1alpha1.PurgeSpec) bool { return p.ThresholdPercent > 0 || p.TargetPercent > 0 }

// Below reports whether usage is known and below the threshold, so that a purge must delete nothing.
func (u Measurement) Below(p v1alpha1.PurgeSpec) bool {
	return u.Err == nil && u.Percent(u.Used) < float64(p.ThresholdPercent)
}

// Status returns the usage for the store's status after a run. mayGo is how many bytes could be reclaimed, and went
// how many of them the run has made reclaimable. Status returns nil if usage was not, or could not be measured.
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

// show sets what was measured, and when, in a status.
func (u Measurement) show(s *v1alpha1.StoreUsage, at time.Time) {
	s.UsedBytes, s.MeasuredAt = u.Used, metav1.NewTime(at)
	if u.Capacity > 0 {
		s.CapacityBytes = &u.Capacity
		s.Percent = new(int32(min(100*float64(u.Used)/float64(u.Capacity), math.MaxInt32)))
	}
}

// Text describes usage in words, with used bytes and capacity.
func (u Measurement) Text() string {
	text := fmt.Sprintf("%.1f %% used (%s of %s)", 100*float64(u.Used)/float64(u.Capacity), v1alpha1.Bytes(u.Used), v1alpha1.Bytes(u.Capacity))
	if u.Uncollected > 0 {
		text += fmt.Sprintf(", of it %s that earlier purges made reclaimable and the registry has not collected", v1alpha1.Bytes(u.Uncollected))
	}
	return text
}

// Freed returns how many bytes would be free without some digests; 0 if unknown.
func (u Measurement) Freed(ats []reading.Key) int64 {
	if u.Ledger == nil {
		return 0
	}
	return u.Ledger.without(ats)
}
