package clusterregistry_test

import (
	"strings"
	"testing"
)

// modes are the settings of the collector's rules.
var modes = []struct {
	reason string
	rules  rules
}{
	{"old untagged revisions are candidates", rules{grace: true}},
	{"every untagged revision is a candidate: the grace period is 0", rules{}},
	{"every present revision is a root", rules{grace: true, keepUntagged: true}},
	{"every present revision is a root, and the grace period is 0", rules{keepUntagged: true}},
	// The first mark only saves work, so the protocol must hold without it.
	{"the first mark overlooks every root", rules{grace: true, blindMark: true}},
	{"the first mark overlooks every root but the revisions", rules{keepUntagged: true, blindMark: true}},
}

// In every state that any order of steps can reach, whichever process
// is killed before any step, acknowledged pushes must be readable.
func TestR2EveryInterleavingKeepsAcknowledgedPushes(t *testing.T) {
	total := 0
	for _, mode := range modes {
		t.Run(mode.reason, func(t *testing.T) {
			for _, s := range scenarios {
				o := s.explore(t, mode.rules)
				t.Logf("%s: %d states", s.name, o.states)
				total += o.states
				if o.lostAt != "" {
					t.Errorf("%s: an acknowledged push is lost:\n%s", s.name, o.lostAt)
				}
				if o.acknowledged == 0 && (mode.rules.grace || mode.rules.keepUntagged) {
					t.Errorf("%s: no push is acknowledged and stays so: the scenario proves nothing", s.name)
				}
			}
		})
	}
	t.Logf("%d states", total)
}

// Each rule is necessary: without it, the same exploration must find a loss.
func TestR2BrokenVariantsLose(t *testing.T) {
	young, old := rules{grace: true}, rules{}
	for _, tt := range []struct {
		reason string
		broken fault
		rules  rules
		// loses has the letters of the scenarios that must lose a push.
		loses string
	}{
		{"no look after publication", noLookAfterPublication, young, "BCDEFGIJKLNOPQRSTX"},
		{"no look after publication, with a grace period of 0", noLookAfterPublication, old, "ABDEFGIJKLNOQR"},
		{"no second look after the tag, with a grace period of 0", noLookAfterTag, old, "ABDEFGIJKLNOQR"},
		{"no second look after the tag, while the grace period ends", noLookAfterTag, young, "NR"},
		{"a look at an index that does not go below its children", shallowLook, young, "DFJKQ"},
		{"a look that passes over the layer links", noLookAtLayerLinks, young, "BCDEFGIJKLNOPQRST"},
		{"a push that fails deletes its revision link", takesLinkBack, young, "ELO"},
		{"no quarantine", noQuarantine, young, "ABCDEFGIJKLNOPQRST"},
		{"no quarantine, with a grace period of 0", noQuarantine, old, "ABDEFGIJKLNOQR"},
		{"no look at the age after hiding", noLookAtAge, young, "CJPST"},
		{"no rescue of what is hidden", noRescue, young, "ABCDEFGHIJKLMNOPQRST"},
		{"mark 2 begins with the tags only", secondMarkOfTagsOnly, young, "CJOPST"},
		{"a mark that does not see what another collector hides", marksOwnSightOnly, young, "PT"},
		{"a mark that reads the real paths only before it reads the trash", marksReadOnce, young, "PT"},
		{"R3: a mark that takes a manifest for absent which is renamed meanwhile", movedIsAbsent, young, "EFIJPQT"},
		{"a collector that adopts deletes what it has not found live", adopterDeletes, young, "MT"},
		{"giving back overwrites what is live", givesBackOver, young, "PT"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			r := tt.rules
			r.broken = tt.broken
			shortest := ""
			for _, s := range scenarios {
				if !strings.Contains(tt.loses, s.name[:1]) {
					continue
				}
				o := s.explore(t, r)
				if o.lostAt == "" {
					t.Errorf("%s: nothing is lost in %d states: the model does not need the rule", s.name, o.states)
				}
				if story := s.name + "\n" + o.lostAt; shortest == "" || strings.Count(story, "\n") < strings.Count(shortest, "\n") {
					shortest = story
				}
			}
			t.Log(shortest)
		})
	}
}

// A client that learns that a blob is present (W5), and therefore does not upload
// it, must not be refused within the grace period because the blob is missing.
func TestR2PresentBlobsAreHeldForTheGracePeriod(t *testing.T) {
	for _, tt := range []struct {
		reason string
		rules  rules
		misled bool
	}{
		{"the answer makes the layer link young", rules{grace: true}, false},
		{"the same where untagged revisions are kept", rules{grace: true, keepUntagged: true}, false},
		{"a mark for which a young layer link is not a root", rules{grace: true, broken: noRootsOfLinks}, true},
		{"an answer alone", rules{grace: true, broken: noLease}, true},
		{"a collector that does not look at the age after hiding", rules{grace: true, broken: noLookAtAge}, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			for _, s := range scenarios {
				if !strings.Contains("AL", s.name[:1]) {
					continue
				}
				o := s.explore(t, tt.rules)
				t.Logf("%s: misled in %d ends of %d states", s.name, o.misled, o.states)
				if (o.misled > 0) != tt.misled {
					t.Errorf("%s: misled in %d ends, want some: %v", s.name, o.misled, tt.misled)
				}
			}
		})
	}
}
