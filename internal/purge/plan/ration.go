package plan

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/purge/usage"
)

// Ration keeps what usage does not ask for: everything below the threshold or when usage is not
// known, and what comes after the target is reached. What was untagged first goes first.
func Ration(vs []Verdict, p v1alpha1.PurgeSpec, u usage.Measurement) []Verdict {
	return RationBy(vs, p, u, func(i int, rest *usage.Removal) int64 { return rest.Remove(vs[i].Key()) })
}

// RationBy is Ration where remove says how many bytes go with a verdict and nothing that was taken before.
func RationBy(vs []Verdict, p v1alpha1.PurgeSpec, u usage.Measurement, remove func(i int, rest *usage.Removal) int64) []Verdict {
	if !usage.Needed(p) {
		return vs
	}
	keep := func(i int, reason Reason, message string) {
		vs[i].Delete, vs[i].Reason, vs[i].Message = false, reason, message
	}
	used := u.Used
	below := u.Below(p)
	var rest *usage.Removal
	if u.Err == nil {
		rest = u.Ledger.Begin()
	}
	for _, i := range inOrder(vs) {
		switch {
		case u.Err != nil:
			keep(i, UsageUnknown, "there is a threshold or target, and nothing to compare it with")
		case below:
			keep(i, NotNeeded, "usage is below the threshold")
		case p.TargetPercent > 0 && u.Percent(used) <= float64(p.TargetPercent):
			keep(i, NotNeeded, "the target is reached; what was untagged earlier goes first")
		default:
			used -= remove(i, rest)
		}
	}
	return vs
}

// Reclaimable is how many bytes would be free if all went that may go.
func Reclaimable(vs []Verdict, u usage.Measurement) int64 {
	return Freed(vs, u, func(v Verdict) bool {
		return v.Delete || v.Reason == OverBudget || v.Reason == NotNeeded || v.Reason == UsageUnknown
	})
}

// Freed is how many bytes nothing would hold without some of the digests.
func Freed(vs []Verdict, u usage.Measurement, which func(Verdict) bool) int64 {
	var ats []reading.Key
	for _, v := range vs {
		if which(v) {
			ats = append(ats, v.Key())
		}
	}
	return u.Freed(ats)
}
