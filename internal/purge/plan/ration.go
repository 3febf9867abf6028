package plan

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/purge/usage"
)

// Ration keeps what usage does not require to delete: everything if usage is unknown or below the threshold,
// and what remains once the target is reached. Digests that were untagged first are deleted first.
func Ration(vs []Verdict, p v1alpha1.PurgeSpec, u usage.Measurement) []Verdict {
	return RationBy(vs, p, u, func(i int, rest *usage.Removal) int64 { return rest.Remove(vs[i].Key()) })
}

// RationBy is Ration with a remove function that returns how many bytes a verdict frees in addition to those before it.
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

// Reclaimable returns how many bytes would be free if everything that may be deleted were deleted.
func Reclaimable(vs []Verdict, u usage.Measurement) int64 {
	return Freed(vs, u, func(v Verdict) bool {
		return v.Delete || v.Reason == OverBudget || v.Reason == NotNeeded || v.Reason == UsageUnknown
	})
}

// Freed returns how many bytes would be free without the digests of the verdicts that which selects.
func Freed(vs []Verdict, u usage.Measurement, which func(Verdict) bool) int64 {
	var ats []reading.Key
	for _, v := range vs {
		if which(v) {
			ats = append(ats, v.Key())
		}
	}
	return u.Freed(ats)
}
