package manifest

import (
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/release"
)

// A pass that comes again at once writes nothing, for then it would find its own write unread: many manifests wait for a
// place in a registry at the same time.
func TestWhatComesAgainAtOnceIsNotReported(t *testing.T) {
	t.Parallel()
	free, late := deleting(func(*manifestSeen) {}), manifestDone{release: release.Released{Holders: holders}}
	used := deleting(func(s *manifestSeen) { s.holders = holders })
	for name, tc := range map[string]struct {
		reason string
		seen   manifestSeen
		done   manifestDone
		err    error
		silent bool
		says   string
	}{
		"Busy":    {"it waits for a place", free, manifestDone{}, lane.ErrBusy, true, ""},
		"Lags":    {"the cache lags behind", free, manifestDone{}, reference.ErrSuperseded, true, ""},
		"Failed":  {"a person may have to do something", free, manifestDone{}, registry.ErrUnavailable, false, "Unavailable"},
		"Claimed": {"a purge may take an hour", free, manifestDone{}, release.ErrClaimed, false, "Pending"},
		"Late":    {"a person has to know what holds it", free, late, reference.ErrSuperseded, false, "InUse"},
		"Held":    {"whatever is to be put back", used, manifestDone{}, release.ErrClaimed, false, "InUse"},
		"Kept":    {"that it is held says nothing of the registry", used, manifestDone{}, registry.ErrUnavailable, false, "Unavailable"},
		"Done":    {"it is released", free, manifestDone{}, nil, false, "Released"},
	} {
		v := decideManifest(tc.seen).after(tc.seen, tc.done, tc.err)
		if v.silent != tc.silent {
			t.Errorf("%s: silent is %t, want %t: %s", name, v.silent, tc.silent, tc.reason)
		}
		var cs []metav1.Condition
		v.conditions.Apply(&cs, 1)
		blocked := apimeta.FindStatusCondition(cs, v1alpha1.ConditionDeletionBlocked)
		if tc.says != "" && (blocked == nil || blocked.Reason != tc.says) {
			t.Errorf("%s: DeletionBlocked is %v, want %s: %s", name, blocked, tc.says, tc.reason)
		}
		if len(v.holders) > 0 && blocked != nil && strings.Contains(blocked.Message, "Nothing holds it") {
			t.Errorf("%s: it says that %s", name, blocked.Message)
		}
	}
}
