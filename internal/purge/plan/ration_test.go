package plan

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/purge/usage"
)

func TestRation(t *testing.T) {
	t.Parallel()
	errUnknown := errors.New("nobody says it")
	// Four images of 10 bytes and one shared blob of 60 bytes: 100 bytes.
	l := usage.NewLedger()
	var vs []Verdict
	for i, name := range []string{"a", "b", "c"} {
		l.Add(repo, reading.Stored{Node: graph.Node{Digest: d(name)}, Size: 10, Blobs: []reading.Blob{{Content: reading.ContentOf(d("shared")), Size: 60}}})
		vs = append(vs, Verdict{Repository: repo, Digest: d(name), Delete: true, Reason: "Released", UntaggedAt: now.AddDate(0, 0, -i)})
	}
	l.Add(repo, reading.Stored{Node: graph.Node{Digest: d("live")}, Size: 10})
	known := usage.Measurement{Ledger: l, Used: 100, Capacity: 200}
	tests := map[string]struct {
		reason            string
		threshold, target int32
		usage             usage.Measurement
		want              map[string]string
	}{
		"None":      {"nothing is asked", 0, 0, usage.Measurement{Err: errUnknown}, map[string]string{"a": "delete Released", "b": "delete Released", "c": "delete Released"}},
		"Below":     {"50 % are used", 51, 0, known, map[string]string{"a": "keep NotNeeded", "b": "keep NotNeeded", "c": "keep NotNeeded"}},
		"At":        {"the threshold itself starts a purge", 50, 0, known, map[string]string{"a": "delete Released", "b": "delete Released", "c": "delete Released"}},
		"Target":    {"the oldest goes first, and 45 % are enough", 50, 45, known, map[string]string{"a": "keep NotNeeded", "b": "keep NotNeeded", "c": "delete Released"}},
		"Shared":    {"the blob that they share goes with the last", 50, 10, known, map[string]string{"a": "delete Released", "b": "delete Released", "c": "delete Released"}},
		"TargetNow": {"it is reached already", 0, 50, known, map[string]string{"a": "keep NotNeeded", "b": "keep NotNeeded", "c": "keep NotNeeded"}},
		"Unknown":   {"there is nothing to compare with", 1, 0, usage.Measurement{Ledger: l, Err: errUnknown}, map[string]string{"a": "keep UsageUnknown", "b": "keep UsageUnknown", "c": "keep UsageUnknown"}},
		"NoTarget":  {"nor to stop at", 0, 1, usage.Measurement{Ledger: l, Err: errUnknown}, map[string]string{"a": "keep UsageUnknown", "b": "keep UsageUnknown", "c": "keep UsageUnknown"}},
		"Counted":   {"what waits for the registry's collection is as good as free", 50, 0, usage.Measurement{Ledger: l, Used: 100, Capacity: 200, Uncollected: 1}, map[string]string{"a": "keep NotNeeded", "b": "keep NotNeeded", "c": "keep NotNeeded"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := v1alpha1.PurgeSpec{ThresholdPercent: tc.threshold, TargetPercent: tc.target}
			if diff := cmp.Diff(tc.want, said(Ration(slices.Clone(vs), p, tc.usage), "a", "b", "c")); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}
