package purge

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
)

func weighs(name string, size int64, blobs ...blob) stored {
	return stored{node: graph.Node{Digest: d(name)}, size: size, blobs: blobs}
}

func layer(name string, size int64) blob { return blob{contentOf(d(name)), size} }

func TestLedger(t *testing.T) {
	t.Parallel()
	l := newLedger()
	base := layer("base", 100)
	l.add(repo, weighs("a", 1, base, layer("a1", 10), layer("a1", 10)))
	l.add(repo, weighs("a", 1, base, layer("a1", 10), layer("a1", 10))) // seen twice
	l.add(web, weighs("b", 2, base, layer("b1", 20)))
	l.add(web, weighs("a", 1, base, layer("a1", 10))) // the same image in another repository
	if got := l.total(); got != 133 {
		t.Errorf("total is %d, want 133: each blob once, over all repositories", got)
	}
	at := func(repository, name string) target { return target{repository, d(name)} }
	for _, tc := range []struct {
		reason string
		ats    []target
		want   int64
	}{
		{"the other repository holds all of it", []target{at(repo, "a")}, 0},
		{"with both its own bytes go, not the shared base", []target{at(repo, "a"), at(web, "a")}, 11},
		{"with all of them the base goes too", []target{at(web, "b"), at(repo, "a"), at(web, "a")}, 133},
		{"named twice is gone once", []target{at(web, "b"), at(web, "b")}, 22},
		{"what was never counted frees nothing", []target{at(repo, "x")}, 0},
	} {
		if got := l.without(tc.ats); got != tc.want {
			t.Errorf("without %v is %d, want %d: %s", tc.ats, got, tc.want, tc.reason)
		}
	}
	if got := l.total(); got != 133 {
		t.Errorf("asking has changed the total to %d", got)
	}
}

func TestLedgerOfHostileSizes(t *testing.T) {
	t.Parallel()
	l := newLedger()
	l.add(repo, weighs("a", 1, layer("x", math.MaxInt64), layer("y", math.MaxInt64), layer("z", -5)))
	if got := l.total(); got != math.MaxInt64 {
		t.Errorf("total is %d, want the largest number there is", got)
	}
	if got := l.without([]target{{repo, d("a")}}); got != math.MaxInt64 {
		t.Errorf("without it %d are free", got)
	}
	l = newLedger()
	l.add(repo, weighs("a", 1, layer("x", 7)))
	l.add(repo, weighs("b", 1, layer("x", 9)))
	if got := l.total(); got != 11 {
		t.Errorf("total is %d, want 11: of two claims the larger one counts, in any order", got)
	}
}

// However digests go, what they free adds up to what they held alone.
func TestLedgerAddsUp(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		l := newLedger()
		var ats []target
		for i := range 1 + r.IntN(10) {
			s := weighs(fmt.Sprint("m", i), int64(r.IntN(5)))
			for range r.IntN(4) {
				b := r.IntN(6)
				s.blobs = append(s.blobs, layer(fmt.Sprint("b", b), int64(b*10)))
			}
			l.add(repo, s)
			ats = append(ats, target{repo, s.node.Digest})
		}
		r.Shuffle(len(ats), func(i, j int) { ats[i], ats[j] = ats[j], ats[i] })
		n := r.IntN(len(ats) + 1)
		left := newLedger()
		for at, s := range l.manifests {
			if !slices.Contains(ats[:n], at) {
				left.add(at.repository, s)
			}
		}
		before, freed := l.total(), l.without(slices.Concat(ats[:n], ats[:n])) // twice frees nothing more
		if before-freed != left.total() || before != l.total() {
			t.Fatalf("seed %d: %d less %d is not %d", seed, before, freed, left.total())
		}
	}
}

func TestRation(t *testing.T) {
	t.Parallel()
	// Four images of 10 bytes and one shared blob of 60 bytes: 100 bytes.
	l := newLedger()
	var vs []Verdict
	for i, name := range []string{"a", "b", "c"} {
		l.add(repo, weighs(name, 10, layer("shared", 60)))
		vs = append(vs, Verdict{Repository: repo, Digest: d(name), Delete: true, Reason: "Released", UntaggedAt: now.AddDate(0, 0, -i)})
	}
	l.add(repo, weighs("live", 10))
	known := usage{ledger: l, used: 100, capacity: 200}
	tests := map[string]struct {
		reason            string
		threshold, target int32
		usage             usage
		want              map[string]string
	}{
		"None":      {"nothing is asked", 0, 0, usage{err: errCrashed}, map[string]string{"a": "delete Released", "b": "delete Released", "c": "delete Released"}},
		"Below":     {"50 % are used", 51, 0, known, map[string]string{"a": "keep NotNeeded", "b": "keep NotNeeded", "c": "keep NotNeeded"}},
		"At":        {"the threshold itself starts a purge", 50, 0, known, map[string]string{"a": "delete Released", "b": "delete Released", "c": "delete Released"}},
		"Target":    {"the oldest goes first, and 45 % are enough", 50, 45, known, map[string]string{"a": "keep NotNeeded", "b": "keep NotNeeded", "c": "delete Released"}},
		"Shared":    {"the blob that they share goes with the last", 50, 10, known, map[string]string{"a": "delete Released", "b": "delete Released", "c": "delete Released"}},
		"TargetNow": {"it is reached already", 0, 50, known, map[string]string{"a": "keep NotNeeded", "b": "keep NotNeeded", "c": "keep NotNeeded"}},
		"Unknown":   {"there is nothing to compare with", 1, 0, usage{ledger: l, err: errCrashed}, map[string]string{"a": "keep UsageUnknown", "b": "keep UsageUnknown", "c": "keep UsageUnknown"}},
		"NoTarget":  {"nor to stop at", 0, 1, usage{ledger: l, err: errCrashed}, map[string]string{"a": "keep UsageUnknown", "b": "keep UsageUnknown", "c": "keep UsageUnknown"}},
		"Counted":   {"what waits for the registry's collection is as good as free", 50, 0, usage{ledger: l, used: 100, capacity: 200, uncollected: 1}, map[string]string{"a": "keep NotNeeded", "b": "keep NotNeeded", "c": "keep NotNeeded"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := v1alpha1.PurgeSpec{ThresholdPercent: tc.threshold, TargetPercent: tc.target}
			if diff := cmp.Diff(tc.want, said(ration(slices.Clone(vs), p, tc.usage), "a", "b", "c")); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestUncollected(t *testing.T) {
	t.Parallel()
	last := func(used, uncollected int64) *v1alpha1.StoreUsage {
		return &v1alpha1.StoreUsage{Source: v1alpha1.UsageVolume, UsedBytes: used, UncollectedBytes: uncollected}
	}
	for _, tc := range []struct {
		reason string
		last   *v1alpha1.StoreUsage
		used   int64
		want   int64
	}{
		{"no purge yet", nil, 100, 0},
		{"measured in another way", &v1alpha1.StoreUsage{Source: v1alpha1.UsageAccounted, UsedBytes: 100, UncollectedBytes: 9}, 100, 0},
		{"the registry has not collected", last(100, 30), 100, 30},
		{"it has grown", last(100, 30), 120, 30},
		{"it has collected a part", last(100, 30), 90, 20},
		{"it has collected all, and more", last(100, 30), 10, 0},
	} {
		if got := uncollected(tc.last, v1alpha1.UsageVolume, tc.used); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.reason, got, tc.want)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 5 << 30: "5 GiB", math.MaxInt64: "8 EiB"} {
		if got := v1alpha1.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestVolume(t *testing.T) {
	t.Parallel()
	used, capacity, err := fileSystem(t.TempDir())
	if err != nil || used <= 0 || capacity < used {
		t.Errorf("%d of %d used, %v", used, capacity, err)
	}
	for name, path := range map[string]string{"nowhere": "", "missing": "/does/not/exist"} {
		if _, _, err := fileSystem(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The same store by what is accounted: what is used, what a purge frees, and where it stops.
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
	if used, capacity, err := fileSystem(cfg.Volume); err != nil || used*100 < capacity {
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

// One unreadable image hides how full the store is, and so what a threshold asks for.
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
