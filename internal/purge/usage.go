package purge

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// usage is how full the store is.
type usage struct {
	source v1alpha1.UsageSource
	// ledger has what the store's manifests and tombstones reach; nil when that could not be read.
	ledger *ledger
	// missing is what they name and the registry does not have; nil like ledger.
	missing map[target]bool
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

// volume asks the file system of the registry's volume, as df does.
func (cfg Config) volume() (used, capacity int64, err error) {
	if cfg.Volume == "" {
		return 0, 0, errors.New("the registry's volume is not mounted here; the CronJob's pods have it, --volume says where it is")
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(cfg.Volume, &fs); err != nil {
		return 0, 0, fmt.Errorf("asking the file system of %s: %w", cfg.Volume, err)
	}
	block := uint64(max(0, fs.Bsize))
	if block == 0 || fs.Blocks > math.MaxInt64/block || fs.Bfree > fs.Blocks {
		return 0, 0, fmt.Errorf("asking the file system of %s: its answer makes no sense", cfg.Volume)
	}
	used = int64((fs.Blocks - fs.Bfree) * block)
	// What only root may still write to is nobody's.
	return used, used + int64(min(fs.Bavail, fs.Bfree)*block), nil
}

// uncollected is what purges have made reclaimable on a volume and the registry has not freed
// yet: what the last purge left, less what the volume has got emptier since. Where the registry has
// grown meanwhile this is too much, and less is deleted than could be.
func uncollected(last *v1alpha1.StoreUsage, source v1alpha1.UsageSource, used int64) int64 {
	if last == nil || last.Source != source {
		return 0
	}
	return max(0, last.UncollectedBytes-max(0, last.UsedBytes-used))
}

// ration keeps what usage does not ask for: everything below the threshold or when usage is not
// known, and what comes after the target is reached. What was untagged first goes first.
func ration(vs []Verdict, p v1alpha1.PurgeSpec, u usage) []Verdict {
	return rationBy(vs, p, u, func(i int, rest *removal) int64 { return rest.remove(vs[i].key()) })
}

// rationBy is ration where remove says how many bytes go with a verdict and nothing that was taken before.
func rationBy(vs []Verdict, p v1alpha1.PurgeSpec, u usage, remove func(i int, rest *removal) int64) []Verdict {
	if !wanted(p) {
		return vs
	}
	keep := func(i int, reason Reason, message string) {
		vs[i].Delete, vs[i].Reason, vs[i].Message = false, reason, message
	}
	used := u.used
	below := u.below(p)
	var rest *removal
	if u.err == nil {
		rest = u.ledger.begin()
	}
	for _, i := range inOrder(vs) {
		switch {
		case u.err != nil:
			keep(i, UsageUnknown, "there is a threshold or target, and nothing to compare it with")
		case below:
			keep(i, NotNeeded, "usage is below the threshold")
		case p.TargetPercent > 0 && u.percent(used) <= float64(p.TargetPercent):
			keep(i, NotNeeded, "the target is reached; what was untagged earlier goes first")
		default:
			used -= remove(i, rest)
		}
	}
	return vs
}

// reclaimable is how many bytes would be free if all went that may go.
func reclaimable(vs []Verdict, u usage) int64 {
	return u.freed(vs, func(v Verdict) bool {
		return v.Delete || v.Reason == OverBudget || v.Reason == NotNeeded || v.Reason == UsageUnknown
	})
}

// freed is how many bytes nothing would hold without some digests.
func (u usage) freed(vs []Verdict, which func(Verdict) bool) int64 {
	if u.ledger == nil {
		return 0
	}
	var ats []target
	for _, v := range vs {
		if which(v) {
			ats = append(ats, v.key())
		}
	}
	return u.ledger.without(ats)
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
