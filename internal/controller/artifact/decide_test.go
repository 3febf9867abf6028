package artifact

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/mirror"
	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	one = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	two = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	six = "sha256:6666666666666666666666666666666666666666666666666666666666666666"
)

func at(d string) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: seen{artifact: &v1alpha1.Artifact{Status: v1alpha1.MirrorStatus{Digest: d}}}.had()}
}

// anArtifact returns an observation of an Artifact in a state. The mirror had it at the digest had, "" for never.
func anArtifact(state v1alpha1.MirrorState, had string, change func(*seen)) seen {
	a := &v1alpha1.Artifact{}
	a.Namespace, a.Name, a.Spec.SourceArtifact = "ran", "upf", "r.example/acme/upf:1"
	a.Status.State, a.Status.Digest = state, had
	if had != "" {
		a.Status.Size, a.Status.SourceSeenAt = 1000, &metav1.Time{Time: time.Unix(1, 0)}
	}
	store := &v1alpha1.ArtifactStore{}
	store.Namespace, store.Name = "nfo-system", "mirror"
	store.Spec.Mirror = &v1alpha1.MirrorSpec{Rewrite: v1alpha1.RewritePresent, RefreshPeriod: metav1.Duration{Duration: 10 * time.Minute}}
	store.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
	s := seen{artifact: a, store: store, now: time.Unix(1000, 0)}
	s.image, s.invalid = image(a)
	s.unready = unready(store)
	change(&s)
	return s
}

func answers(here, there string) func(*seen) {
	return func(s *seen) { s.here, s.there = at(here), mirror.Answer{Descriptor: at(there), Secret: "pull"} }
}

func silent(here string, err error) func(*seen) {
	return func(s *seen) { s.here, s.thereErr = at(here), fmt.Errorf("asking: %w", err) }
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const (
		pending, copying, present, corrupt, failed = v1alpha1.MirrorPending, v1alpha1.MirrorCopying, v1alpha1.MirrorPresent, v1alpha1.MirrorCorrupt, v1alpha1.MirrorFailed
	)
	untagged := func(err error) func(*seen) {
		return func(s *seen) { silent("", err)(s); s.held = true }
	}
	unseen := func(change func(*seen)) func(*seen) {
		return func(s *seen) { change(s); s.artifact.Status.SourceSeenAt = nil }
	}
	held := func(s *seen) { answers("", two)(s); s.held = true }
	down := func(s *seen) { s.hereErr = registry.ErrUnavailable }
	always := func(change func(*seen)) func(*seen) {
		return func(s *seen) { change(s); s.store.Spec.Mirror.Rewrite = v1alpha1.RewriteAlways }
	}
	for name, tt := range map[string]struct {
		reason string
		seen   seen
		want   string // state Ready=status/reason, step, and the first time to wait
	}{
		"new":                    {"nothing is there", anArtifact("", "", answers("", one)), "Copying False/Copying 4 0s"},
		"pending":                {"it has waited", anArtifact(pending, "", answers("", one)), "Copying False/Copying 4 0s"},
		"failed before":          {"the source has it now", anArtifact(failed, "", answers("", one)), "Copying False/Copying 4 0s"},
		"present":                {"nothing has changed", anArtifact(present, one, answers(one, one)), "Present True/Present 0 10m0s"},
		"interrupted":            {"the manager has ended in a copy", anArtifact(copying, "", answers("", one)), "Copying False/Copying 4 0s"},
		"another's copy":         {"the mirror has it for another namespace", anArtifact("", "", answers(one, one)), "Pending False/Copying 1 0s"},
		"untagged copy":          {"the mirror has the digest and not the tag", anArtifact("", "", held), "Pending False/Copying 3 0s"},
		"moved":                  {"the old copy serves until the new one is there", anArtifact(present, one, answers(one, two)), "Present True/Copying 4 0s"},
		"moved for another":      {"another Artifact has had it copied", anArtifact(present, one, answers(two, two)), "Present True/Copying 1 0s"},
		"R5 moved twice":         {"another Artifact has had the first move copied, which serves", anArtifact(present, one, answers(two, six)), "Present True/Copying 4 0s"},
		"R1 lost":                {"the mirror does not answer for it any more", anArtifact(present, one, answers("", one)), "Copying False/Copying 4 0s"},
		"corrupt":                {"and was not copied at once", anArtifact(corrupt, one, answers("", one)), "Copying False/Copying 4 0s"},
		"mirror down":            {"that says nothing", anArtifact(present, one, down), "Present Unknown/Unavailable 0 10s"},
		"mirror down while new":  {"there is nothing to go by", anArtifact("", "", down), "Pending Unknown/Unavailable 0 10s"},
		"R5 source down":         {"nothing is removed", anArtifact(present, one, silent(one, registry.ErrUnavailable)), "Present True/Present 0 10m0s"},
		"R5 source refuses":      {"such as after the Secret has gone", anArtifact(present, one, silent(one, registry.ErrDenied)), "Present True/Present 0 10m0s"},
		"R5 source has lost it":  {"then the mirror is all there is", anArtifact(present, one, silent(one, registry.ErrNotFound)), "Present True/Present 0 10m0s"},
		"recovered":              {"a failed copy that is there after all stays", anArtifact(failed, one, silent(one, registry.ErrUnavailable)), "Present True/Present 0 10m0s"},
		"corrupt, source down":   {"it is said, and tried again", anArtifact(present, one, silent("", registry.ErrUnavailable)), "Corrupt False/Unavailable 0 10s"},
		"new, source down":       {"nobody has said that the namespace may have it", anArtifact("", "", silent(one, registry.ErrUnavailable)), "Failed False/Unavailable 0 10s"},
		"side-loaded":            {"pods pull it whatever the state says", anArtifact("", "", always(silent(one, registry.ErrUnavailable))), "Pending False/Copying 1 0s"},
		"side-loaded, failed":    {"it came later", anArtifact(failed, "", always(silent(one, registry.ErrUnavailable))), "Failed False/Copying 1 0s"},
		"side-loaded again":      {"a new version of the tag", anArtifact(present, one, always(silent(two, registry.ErrUnavailable))), "Present True/Copying 1 0s"},
		"side-loaded, the same":  {"nothing is to be done", anArtifact(present, one, always(silent(one, registry.ErrUnavailable))), "Present True/Present 0 10m0s"},
		"side-loaded, denied":    {"so do proxies of sites that are cut off", anArtifact("", "", always(silent(one, registry.ErrDenied))), "Pending False/Copying 1 0s"},
		"denied, the same":       {"pods pull it whatever the state says", anArtifact(present, one, always(unseen(silent(one, registry.ErrDenied)))), "Present True/Present 0 10m0s"},
		"denied, by state again": {"the source has never let it read", anArtifact(present, one, unseen(silent(one, registry.ErrDenied))), "Failed False/Denied 0 5m0s"},
		"R5 tag lost":            {"no source is needed to put it back", anArtifact(present, one, untagged(registry.ErrUnavailable)), "Corrupt False/Copying 2 0s"},
		"R5 tag lost, denied":    {"it has been there for this namespace", anArtifact(corrupt, one, untagged(registry.ErrDenied)), "Corrupt False/Copying 2 0s"},
		"tag lost, never seen":   {"the source has never let it read", anArtifact(present, one, unseen(untagged(registry.ErrDenied))), "Failed False/Denied 0 5m0s"},
		"nothing, source down":   {"nobody has loaded it", anArtifact("", "", always(silent("", registry.ErrUnavailable))), "Failed False/Unavailable 0 10s"},
		"another's, denied":      {"a copy for another namespace does not count for this one", anArtifact("", "", silent(one, registry.ErrDenied)), "Failed False/Denied 0 5m0s"},
		"moved for another only": {"what this namespace may not read is not its", anArtifact(present, one, silent(two, registry.ErrDenied)), "Failed False/Denied 0 5m0s"},
		"not found":              {"slowly", anArtifact("", "", silent("", registry.ErrNotFound)), "Failed False/Missing 0 5m0s"},
		"refused address":        {"slowly", anArtifact("", "", silent("", registry.ErrAddress)), "Failed False/AddressRefused 0 5m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, over := tt.seen.without(); over {
				t.Fatal("no registry is asked")
			}
			v := decide(tt.seen)
			if got := fmt.Sprintf("%s %s/%s %d %s", v.state, v.status, v.reason, v.step, v.pause.first); got != tt.want {
				t.Errorf("%s: %s, want %s: %s", tt.reason, got, tt.want, v.message)
			}
			if !strings.HasSuffix(v.message, ".") {
				t.Errorf("%q is not a sentence", v.message)
			}
		})
	}
}

// Verdicts for which no registry is asked.
func TestDecideWithout(t *testing.T) {
	t.Parallel()
	none := func(s *seen) { s.store, s.unready = nil, unready(nil) }
	notReady := func(s *seen) {
		s.store.Status.Conditions[0] = metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Message: "The registry does not answer."}
		s.unready = unready(s.store)
	}
	for name, tt := range map[string]struct {
		reason string
		seen   seen
		want   string
	}{
		"no mirror":          {"it was not enabled", anArtifact("", "", none), "Pending False/MirrorNotReady"},
		"mirror gone":        {"its copies are there still", anArtifact(v1alpha1.MirrorPresent, one, none), "Present Unknown/MirrorNotReady"},
		"mirror not ready":   {"its store says why", anArtifact("", "", notReady), "Pending False/MirrorNotReady"},
		"invalid":            {"it is not an image", anArtifact("", "", func(s *seen) { s.invalid = rewrite.ErrImage }), "Failed False/InvalidImage"},
		"invalid, no mirror": {"that is worse", anArtifact("", "", func(s *seen) { none(s); s.invalid = rewrite.ErrImage }), "Failed False/InvalidImage"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, over := tt.seen.without()
			if got := fmt.Sprintf("%s %s/%s", v.state, v.status, v.reason); !over || got != tt.want || v.pause != (pause{}) {
				t.Errorf("%s: %s, %v, want %s: %s", tt.reason, got, over, tt.want, v.message)
			}
		})
	}
}

func TestConclude(t *testing.T) {
	t.Parallel()
	busy := errors.New("reading: " + registry.ErrUnavailable.Error())
	loaded := func(s *seen) {
		silent(one, registry.ErrUnavailable)(s)
		s.store.Spec.Mirror.Rewrite = v1alpha1.RewriteAlways
	}
	for name, tt := range map[string]struct {
		reason string
		seen   seen
		err    error
		want   string
	}{
		"copied":       {"all is there", anArtifact("", "", answers("", one)), nil, "Present True/Present 10m0s false"},
		"moved":        {"the event names the tag", anArtifact(v1alpha1.MirrorPresent, one, answers(one, two)), nil, "Present True/Present 10m0s true"},
		"unavailable":  {"soon again", anArtifact("", "", answers("", one)), fmt.Errorf("copying: %w", registry.ErrUnavailable), "Failed False/Unavailable 10s false"},
		"other":        {"soon again", anArtifact("", "", answers("", one)), busy, "Failed False/Unknown 10s false"},
		"unreadable":   {"a person has to push it again", anArtifact("", "", answers("", one)), registry.ErrUnreadable, "Failed False/Unreadable 5m0s false"},
		"no platform":  {"a person has to choose", anArtifact("", "", answers("", one)), fmt.Errorf("reading: %w", platform.ErrNone), "Failed False/NoPlatform 5m0s false"},
		"corrupt":      {"it stays so", anArtifact(v1alpha1.MirrorPresent, one, answers("", one)), registry.ErrUnavailable, "Corrupt False/Unavailable 10s false"},
		"R5 not moved": {"the old copy serves on", anArtifact(v1alpha1.MirrorPresent, one, answers(one, two)), registry.ErrUnavailable, "Present False/Unavailable 10s false"},
		"moved twice":  {"and so does another Artifact's", anArtifact(v1alpha1.MirrorPresent, one, answers(two, six)), registry.ErrUnavailable, "Present False/Unavailable 10s false"},
		"side-loaded":  {"the mirror is all there is", anArtifact("", "", loaded), nil, "Present True/Present 10m0s false"},
		"loaded again": {"its tag has moved", anArtifact(v1alpha1.MirrorPresent, two, loaded), nil, "Present True/Present 10m0s true"},
		"tag back":     {"no source was needed", anArtifact(v1alpha1.MirrorPresent, one, func(s *seen) { silent("", registry.ErrUnavailable)(s); s.held = true }), nil, "Present True/Present 10m0s false"},
		"busy":         {"another Artifact copies it", anArtifact("", "", answers("", one)), mirror.ErrBusy, "Copying False/Copying 2s false"},
		"slow":         {"it waits for its turn again", anArtifact("", "", answers("", one)), slowError(3000), "Pending False/Copying 1m0s false"},
		"slow, lost":   {"the mirror has not all of it meanwhile", anArtifact(v1alpha1.MirrorPresent, one, answers("", one)), slowError(0), "Corrupt False/Copying 1m0s false"},
		"slow, moved":  {"the old copy serves on", anArtifact(v1alpha1.MirrorPresent, one, answers(one, two)), slowError(0), "Present True/Copying 1m0s false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := conclude(tt.seen, decide(tt.seen), mirror.Copied{Size: 5}, tt.err)
			if got := fmt.Sprintf("%s %s/%s %s %v", v.state, v.status, v.reason, v.pause.first, v.moved); got != tt.want {
				t.Errorf("%s: %s, want %s: %s", tt.reason, got, tt.want, v.message)
			}
		})
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		p        pause
		failures int
		want     time.Duration
	}{
		"first":       {failed(registry.ErrUnavailable), 1, 10 * time.Second},
		"third":       {failed(registry.ErrUnavailable), 3, 40 * time.Second},
		"at most":     {failed(registry.ErrUnavailable), 20, 30 * time.Minute},
		"denied":      {failed(registry.ErrDenied), 1, 5 * time.Minute},
		"denied long": {failed(registry.ErrDenied), 9, 30 * time.Minute},
		"asked":       {pause{first: firstWait, most: mostWait, failed: true, asked: 2 * time.Minute}, 1, 2 * time.Minute},
		"refresh":     {pause{first: 10 * time.Minute}, 0, 10 * time.Minute},
		"never":       {pause{}, 0, 0},
	} {
		if got := tt.p.wait(tt.failures); got < tt.want || got > tt.want+tt.want/10 {
			t.Errorf("%s: %s, want %s and up to a tenth more", name, got, tt.want)
		}
	}
}
