package purge

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/usage"
)

// The same store with accounted usage: what is used, what a purge frees, and where it stops.
func TestSweepByUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Capacity = resource.NewQuantity(1<<40, resource.BinarySI) })
	report, err := Run(t.Context(), func() Config { c := w.config(); c.DryRun = true; return c }())
	w.must(err)
	if report.Usage == nil || report.Usage.Percent == nil || report.Usage.UsedBytes <= report.Usage.ReclaimableBytes || report.Reclaimed != report.Usage.ReclaimableBytes {
		t.Fatalf("of a large capacity usage is %+v, reclaimed %d", report.Usage, report.Reclaimed)
	}
	all := *report.Usage
	tests := map[string]struct {
		reason            string
		threshold, target int32
		capacity          int64
		outcome           v1alpha1.PurgeOutcome
		deleted           int
		says              string
	}{
		"Below":  {"half is used", 51, 0, 2 * all.UsedBytes, v1alpha1.PurgeBelowThreshold, 0, "the threshold is 51 %"},
		"Above":  {"all is used", 80, 0, all.UsedBytes, v1alpha1.PurgeSucceeded, 6, ""},
		"Target": {"the first frees enough", 80, 99, all.UsedBytes, v1alpha1.PurgeSucceeded, 1, ""},
		"None":   {"no capacity", 80, 0, 0, v1alpha1.PurgeUsageUnknown, 0, "spec.capacity"},
		"Stop":   {"nor for a target", 0, 80, 0, v1alpha1.PurgeUsageUnknown, 0, "spec.capacity"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *v1alpha1.ArtifactStore) {
				s.Spec.Purge.ThresholdPercent, s.Spec.Purge.TargetPercent = tc.threshold, tc.target
				if tc.capacity > 0 {
					s.Spec.Capacity = resource.NewQuantity(tc.capacity, resource.BinarySI)
				}
			})
			planned, planErr := Run(t.Context(), func() Config { c := w.config(); c.DryRun = true; return c }())
			report, err := w.run()
			unknown := tc.outcome == v1alpha1.PurgeUsageUnknown
			if errors.Is(err, ErrRefused) != unknown || errors.Is(planErr, ErrRefused) != unknown {
				t.Fatalf("%s: the error is %v, in a dry run %v", tc.reason, err, planErr)
			}
			if report.Outcome != tc.outcome || report.Deleted != tc.deleted || planned.Deleted != tc.deleted || !strings.Contains(report.Message, tc.says) {
				t.Errorf("%s: %s; in a dry run %s", tc.reason, report.Summary(), planned.Summary())
			}
			w.shows(stayed, nil)
			var s v1alpha1.ArtifactStore
			w.must(w.get(&s, "acme"))
			if s.Status.DeletedTotal != int64(tc.deleted) || (s.Status.LastSuccessTime == nil) != unknown || s.Status.LastPurge.ReclaimedBytes != report.Reclaimed {
				t.Errorf("%s: status is %+v", tc.reason, s.Status)
			}
			if u := s.Status.Usage; u == nil || u.UsedBytes+report.Reclaimed != all.UsedBytes || u.ReclaimableBytes+report.Reclaimed != all.ReclaimableBytes {
				t.Errorf("%s: usage is %+v after %d bytes were reclaimed of %+v", tc.reason, u, report.Reclaimed, all)
			}
		})
	}
}

func TestSweepByVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) {
		s.Spec.Purge.Usage, s.Spec.Purge.ThresholdPercent = v1alpha1.UsageVolume, 1
	})
	if _, err := w.run(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not mounted") {
		t.Errorf("without the volume the error is %v", err)
	}
	w.shows(append(gone, stayed...), nil)
	cfg := w.config()
	cfg.Volume = w.t.TempDir()
	if used, capacity, err := usage.FileSystem(cfg.Volume); err != nil || used*100 < capacity {
		t.Skipf("the disk of %s is too empty for a threshold of 1 %% (%v)", os.TempDir(), err)
	}
	report, err := Run(t.Context(), cfg)
	w.must(err)
	w.shows(stayed, gone)
	u := report.Usage
	if u == nil || u.Source != v1alpha1.UsageVolume || u.Percent == nil || u.UncollectedBytes != report.Reclaimed || report.Reclaimed == 0 || !strings.Contains(report.Message, "collection") {
		t.Errorf("usage is %+v after %s", u, report.Summary())
	}
}

// If one image cannot be read, the usage is unknown, so a threshold cannot be evaluated.
func TestI2UsageThatCannotBeReadIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) {
		s.Spec.Capacity, s.Spec.Purge.ThresholdPercent = resource.NewQuantity(1, resource.BinarySI), 1
	})
	w.hooks.onManifest = func(x digest.Digest) error {
		if x == w.digest["grace"] {
			return errCrashed
		}
		return nil
	}
	report, err := w.run()
	if err == nil || report.Deleted != 0 {
		t.Errorf("%v, %s", err, report.Summary())
	}
	w.shows(append(gone, stayed...), nil)
}
