package sweep

import (
	"fmt"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
)

func TestNextWork(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason            string
		had, work         int
		preparation, took time.Duration
		want              int
	}{
		"Fast":    {"so much that it takes a second", 32, 32, 0, 500 * time.Millisecond, 64},
		"Growth":  {"a registry may become slow again", 32, 32, 0, time.Millisecond, 128},
		"Slow":    {"at least one", 32, 32, 0, 10 * time.Minute, 1},
		"Large":   {"one manifest had more than there was to be", 2000, 32, 0, 4 * time.Second, 128},
		"Bounded": {"what is claimed cannot be restored, whatever the registry's speed", 1000, 1000, 0, time.Millisecond, maxWork},
		"NoTime":  {"a clock that has not moved", 3, 8, 0, 0, 32},
		"Crowded": {"each wave needs a reading of the cluster, however small the wave is", 32, 32, 1500 * time.Millisecond, time.Second, 48},
		"Held up": {"restores wait for a wave", 32, 32, time.Minute, time.Second, 64},
	} {
		if got := nextWork(tc.had, tc.work, tc.preparation, tc.took); got != tc.want {
			t.Errorf("%s: %s: %d, want %d", name, tc.reason, got, tc.want)
		}
	}
}

func TestFirstWork(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ atOnce, inTime, want int }{
		"nothing was asked yet": {8, 0, 32},
		"far away":              {8, 160, 32},
		"near":                  {8, 800, 100},
		"one at a time":         {1, 80, 10},
		"fast to read from":     {8, 4000, 128},
	} {
		if got := firstWork(tc.atOnce, tc.inTime); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	of := func(repositories ...string) unit {
		u := unit{manifests: 1, tombstones: []*v1alpha1.Tombstone{{}}, deletions: map[string][]plan.Verdict{}, work: len(repositories)}
		for _, r := range repositories {
			u.deletions[r] = []plan.Verdict{{Repository: r}}
		}
		return u
	}
	units := []unit{of("a", "b", "c"), of(), of("d"), of("e", "f"), of("g")}
	var sizes [][2]int
	for rest := units; len(rest) > 0; {
		var u unit
		u, rest = merge(rest, 2)
		sizes = append(sizes, [2]int{u.manifests, len(u.deletions)})
		if u.manifests != len(u.tombstones) {
			t.Errorf("%d manifests with %d tombstones", u.manifests, len(u.tombstones))
		}
	}
	if got := fmt.Sprint(sizes); got != "[[1 3] [2 1] [1 2] [1 1]]" {
		t.Errorf("manifests and repositories: %s", got)
	}
}
