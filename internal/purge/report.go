package purge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/usage"
	"github.com/nfo-operator/nfo/internal/terminal"
)

// Report is what a purge decided and did.
type Report struct {
	// Store is the store, as namespace/name.
	Store string `json:"store"`
	URL   string `json:"url,omitempty"`
	// DryRun: nothing was written. The verdicts say what a purge would do.
	DryRun  bool                  `json:"dryRun"`
	Started time.Time             `json:"started"`
	Ended   time.Time             `json:"ended"`
	Outcome v1alpha1.PurgeOutcome `json:"outcome"`
	Message string                `json:"message,omitempty"`
	// Deleted is how many digests were deleted or, in a dry run, would be.
	Deleted int `json:"deleted"`
	// Kept is how many candidates are kept, by reason.
	Kept map[plan.Reason]int `json:"kept,omitempty"`
	// Reclaimed is how many bytes only the deleted digests used or, in a dry run, only the digests to be deleted.
	Reclaimed int64 `json:"reclaimedBytes"`
	// AtMost: the purge did not read the whole store. Reclaimed
	// also counts blobs that repositories that were not read share.
	AtMost bool `json:"reclaimedAtMost,omitempty"`
	// Freed is how many bytes the collection that the purge asked for freed on disk, in all
	// stores of the registry; nil if the purge asked for none or did not wait until it ended.
	Freed *int64 `json:"freedBytes,omitempty"`
	// Usage is the usage after the run; nil if it was not, or could not be measured.
	Usage *v1alpha1.StoreUsage `json:"usage,omitempty"`
	// Verdicts are the verdicts, one for each candidate, by repository, parents first.
	Verdicts []plan.Verdict `json:"-"`
}

// kept returns how many candidates are kept.
func (r Report) kept() int {
	n := 0
	for _, k := range r.Kept {
		n += k
	}
	return n
}

// judged sets what follows from the verdicts.
func (r *Report) judged(vs []plan.Verdict) {
	r.Verdicts, r.Deleted, r.Kept = vs, 0, map[plan.Reason]int{}
	for _, v := range vs {
		switch {
		case !v.Delete:
			r.Kept[v.Reason]++
		case !v.Missing:
			r.Deleted++
		}
	}
}

// conclude completes the report after a plan and, unless it is a dry run, a sweep.
// ends are the verdicts after it. It returns err, or why the store must not be purged.
func (r *Report) conclude(store *v1alpha1.ArtifactStore, p planned, ends []plan.Verdict, err error) error {
	r.judged(ends)
	r.AtMost = p.usage.Part
	r.Reclaimed = plan.Freed(ends, p.usage, func(v plan.Verdict) bool { return v.Delete && !v.Missing })
	return r.end(store, p.usage, plan.Reclaimable(p.verdicts, p.usage), err)
}

// end completes the report, of which Reclaimed is set already. mayGo is how many bytes
// could have been reclaimed. It returns err, or an error if usage is needed and unknown.
func (r *Report) end(store *v1alpha1.ArtifactStore, u usage.Measurement, mayGo int64, err error) error {
	spec, went := store.Spec.Purge, r.Reclaimed
	if r.DryRun {
		went = 0
	}
	r.Usage = u.Status(r.Started, mayGo, went)
	switch {
	case err != nil:
		r.Message = oneLine(err)
	case usage.Needed(spec) && u.Err != nil:
		r.Outcome = v1alpha1.PurgeUsageUnknown
		err = fmt.Errorf("%w: %s: there is a threshold or target, and nothing to compare it with: %w", ErrRefused, plan.UsageUnknown, u.Err)
		r.Message = oneLine(err)
	case u.Below(spec):
		r.Outcome, r.Message = v1alpha1.PurgeBelowThreshold, fmt.Sprintf("nothing needs to go: %s, the threshold is %d %%", u.Text(), spec.ThresholdPercent)
	case r.DryRun:
		r.Outcome = v1alpha1.PurgeDryRun
	default:
		r.Outcome = v1alpha1.PurgeSucceeded
	}
	if err == nil && u.Source == v1alpha1.UsageVolume && !store.InClusterRegistry() && went > 0 {
		r.Message = "The volume gets emptier at the registry's own collection."
	}
	return err
}

// explainDenied adds to the message why the registry refused to delete digests.
func (r *Report) explainDenied(denied []error) {
	if n := r.Kept[plan.Denied]; n > 0 && len(denied) > 0 && r.Outcome == v1alpha1.PurgeSucceeded {
		r.Message = strings.TrimSpace(fmt.Sprintf("%s The registry refuses to delete %d of the digests that are kept, such as: %s.", r.Message, n, strings.TrimSuffix(oneLine(denied[0]), ".")))
	}
}

// run returns the report as the store's status records it.
func (r Report) run(ended time.Time) *v1alpha1.PurgeRun {
	run := v1alpha1.PurgeRun{
		StartTime: metav1.NewTime(r.Started), CompletionTime: metav1.NewTime(ended), Outcome: r.Outcome,
		Deleted: int32(r.Deleted), Kept: int32(r.kept()), ReclaimedBytes: r.Reclaimed, FreedBytes: r.Freed, Message: v1alpha1.Clip(r.Message, maxMessage),
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Kept)) {
		run.KeptByReason = append(run.KeptByReason, v1alpha1.KeptCount{Reason: string(reason), Count: int32(r.Kept[reason])})
	}
	return &run
}

// Summary returns the report in one sentence.
func (r Report) Summary() string {
	verb := "deleted"
	if r.DryRun {
		verb = "would be deleted"
	}
	text := fmt.Sprintf("%s: %d %s, %d kept", r.Outcome, r.Deleted, verb, r.kept())
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(r.Kept)) {
		reasons = append(reasons, fmt.Sprintf("%d %s", r.Kept[reason], reason))
	}
	if len(reasons) > 0 {
		text += " (" + strings.Join(reasons, ", ") + ")"
	}
	if r.Reclaimed > 0 {
		most := ""
		if r.AtMost {
			most = "at most "
		}
		text += fmt.Sprintf(", %s%s reclaimable by the registry", most, v1alpha1.Bytes(r.Reclaimed))
	}
	if r.Freed != nil {
		text += fmt.Sprintf(", the registry freed %s on disk", v1alpha1.Bytes(*r.Freed))
	}
	text += fmt.Sprintf(", in %s", r.Ended.Sub(r.Started).Round(time.Millisecond))
	if r.Message != "" {
		text += ". " + r.Message
	}
	return text
}

// WriteTable writes a line for each digest, and the summary, for a terminal.
func (r Report) WriteTable(w io.Writer) error {
	var rows strings.Builder
	if len(r.Verdicts) > 0 {
		rows.WriteString("VERDICT\tREASON\tREPOSITORY\tDIGEST\tWHY\n")
	}
	for _, v := range r.Verdicts {
		verdict := "keep"
		if v.Delete {
			verdict = "delete"
		}
		why := cmp.Or(v.Message, "tombstones "+strings.Join(v.Tombstones, ", "))
		rows.WriteString(strings.Join([]string{verdict, string(v.Reason), v1alpha1.Line(v.Repository), v1alpha1.Line(v.Digest.String()), v1alpha1.Line(why)}, "\t") + "\n")
	}
	w = terminal.Text(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := io.WriteString(table, rows.String())
	if err == nil {
		err = table.Flush()
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "%s: %s\n", r.Store, r.Summary())
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// WriteJSON writes an object for each digest, and one for the summary, each on one line.
func (r Report) WriteJSON(w io.Writer) error {
	lines := json.NewEncoder(terminal.JSON(w))
	for _, v := range r.Verdicts {
		if err := lines.Encode(v); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	if err := lines.Encode(r); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
