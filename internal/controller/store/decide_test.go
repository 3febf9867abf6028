package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

func aStore(change func(*storeSeen)) storeSeen {
	s := &v1alpha1.ArtifactStore{}
	s.Namespace, s.Name = "ns", "acme"
	s.Spec.Purge.Schedule = new("0 0 * * *")
	seen := storeSeen{store: s, purgerImage: "image"}
	change(&seen)
	return seen
}

func settled() *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{}
	s.Status.FirstReadyTime = new(metav1.Unix(1000, 0))
	return s
}

func TestDecideStore(t *testing.T) {
	t.Parallel()
	gone := metav1.Unix(1000, 0)
	last := func(o v1alpha1.PurgeOutcome) func(*storeSeen) {
		return func(s *storeSeen) { s.store.Status.LastPurge = &v1alpha1.PurgeRun{Outcome: o} }
	}
	tests := map[string]struct {
		reason     string
		seen       storeSeen
		scheduled  bool
		letGo      bool
		again      time.Duration // 0 if an event wakes it (I10)
		conditions string
	}{
		"Well": {
			"the registry answers and nothing was purged yet", aStore(func(*storeSeen) {}), true, false, pingWell,
			"PurgeHealthy=True/Scheduled Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"Down": {
			"the registry does not answer", aStore(func(s *storeSeen) { s.ping.err = registry.ErrUnavailable }), true, false, pingDown,
			"PurgeHealthy=True/Scheduled Reachable=False/Unavailable Ready=False/Unavailable Referenced=False/Unreferenced",
		},
		"NoSecret": {
			"the Secret is missing", aStore(func(s *storeSeen) { s.ping.err = backend.ErrSecretNotFound }), true, false, pingDown,
			"PurgeHealthy=True/Scheduled Reachable=False/SecretNotFound Ready=False/SecretNotFound Referenced=False/Unreferenced",
		},
		"I9Conflict": {
			"another store has the path: nothing is asked and nothing is scheduled", aStore(func(s *storeSeen) { s.winner = settled() }), false, false, pingWell,
			"PurgeHealthy=Unknown/PathConflict Reachable=Unknown/PathConflict Ready=False/PathConflict Referenced=False/Unreferenced",
		},
		"I9Squatter": {
			"an older store that never was Ready keeps nobody from it", aStore(func(s *storeSeen) { s.winner = &v1alpha1.ArtifactStore{} }), true, false, pingWell,
			"PurgeHealthy=True/Scheduled Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"I9NeitherReady": {
			"of two that never were Ready the older one wins", aStore(func(s *storeSeen) { s.winner, s.ping.err = &v1alpha1.ArtifactStore{}, backend.ErrSecretNotFound }), false, false, pingWell,
			"PurgeHealthy=Unknown/PathConflict Reachable=Unknown/PathConflict Ready=False/PathConflict Referenced=False/Unreferenced",
		},
		"I2Doubt": {
			"it is unknown what holds it", aStore(func(s *storeSeen) { s.store.DeletionTimestamp, s.doubt = &gone, reference.ErrHoldersUnknown }), false, false, pass.StuckRetry,
			"DeletionBlocked=True/HoldersUnknown Ready=False/Deleting Referenced=Unknown/HoldersUnknown",
		},
		"I9Refused": {
			"the place is for other namespaces: nothing is asked and nothing is scheduled", aStore(func(s *storeSeen) { s.refused = errors.New("reserved for namespace x") }), false, false, 0,
			"PurgeHealthy=Unknown/PlaceRefused Reachable=Unknown/PlaceRefused Ready=False/PlaceRefused Referenced=False/Unreferenced",
		},
		"I9Shared": {
			"it may be another's registry: all goes on but purges", aStore(func(s *storeSeen) { s.shared = &sharing{with: &v1alpha1.ArtifactStore{}} }), true, false, pingWell,
			"PurgeHealthy=False/MayShareRegistry Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"I9SharedAndBroken": {
			"what else is wrong with purges does not start them", aStore(func(s *storeSeen) {
				s.shared, s.runs = &sharing{with: &v1alpha1.ArtifactStore{}}, theRuns(aJob("j", hour))
			}), true, false, minute,
			"PurgeHealthy=False/MayShareRegistry Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"I9SharedAndDown": {
			"a registry that does not answer may still be shared", aStore(func(s *storeSeen) {
				s.shared, s.ping.err = &sharing{with: &v1alpha1.ArtifactStore{}}, registry.ErrUnavailable
			}), true, false, pingDown,
			"PurgeHealthy=False/MayShareRegistry Reachable=False/Unavailable Ready=False/Unavailable Referenced=False/Unreferenced",
		},
		"BadURL": {
			"the URL cannot be used", aStore(func(s *storeSeen) { s.invalid = v1alpha1.ErrRegistryURL }), false, false, 0,
			"PurgeHealthy=Unknown/InvalidURL Reachable=Unknown/InvalidURL Ready=False/InvalidURL Referenced=False/Unreferenced",
		},
		"NoImage": {
			"the manager has no purger image", aStore(func(s *storeSeen) { s.purgerImage = "" }), false, false, pingWell,
			"PurgeHealthy=Unknown/CronJobDisabled Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"NoSchedule": {
			"an empty schedule means no CronJob", aStore(func(s *storeSeen) { s.store.Spec.Purge.Schedule = new("") }), true, false, pingWell,
			"PurgeHealthy=Unknown/Suspended Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"ScheduleAbsent": {
			"an absent schedule is the default one, as for the CronJob", aStore(func(s *storeSeen) { s.store.Spec.Purge.Schedule = nil }), true, false, pingWell,
			"PurgeHealthy=True/Scheduled Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"Failed": {
			"the last purge failed", aStore(last(v1alpha1.PurgeFailed)), true, false, pingWell,
			"PurgeHealthy=False/Failed Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"UsageUnknown": {
			"a threshold has nothing to compare with", aStore(func(s *storeSeen) {
				last(v1alpha1.PurgeUsageUnknown)(s)
				s.store.Spec.Purge.ThresholdPercent = 80
			}), true, false, pingWell,
			"PurgeHealthy=False/UsageUnknown Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"ThresholdGone": {
			"the threshold that stopped the last purge is there no more", aStore(last(v1alpha1.PurgeUsageUnknown)), true, false, pingWell,
			"PurgeHealthy=True/Scheduled Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"Succeeded": {
			"the last purge succeeded", aStore(last(v1alpha1.PurgeSucceeded)), true, false, pingWell,
			"PurgeHealthy=True/Succeeded Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"DeleteDisabled": {
			"deletion is disabled at the registry", aStore(func(s *storeSeen) { s.store.Status.Capabilities.Delete = v1alpha1.Unsupported }), true, false, pingWell,
			"PurgeHealthy=False/Unsupported Reachable=True/Reachable Ready=True/Ready Referenced=False/Unreferenced",
		},
		"I1Held": {
			"a store that is held stays", aStore(func(s *storeSeen) { s.store.DeletionTimestamp, s.holders = &gone, passtest.Holders() }), false, false, 0,
			"DeletionBlocked=True/InUse Ready=False/Deleting Referenced=True/InUse",
		},
		"I3HeldLive": {
			"the cache knows no holder and the API server does", aStore(func(s *storeSeen) { s.store.DeletionTimestamp, s.late = &gone, passtest.Holders() }), false, false, 0,
			"DeletionBlocked=True/InUse Ready=False/Deleting Referenced=True/InUse",
		},
		"Free": {
			"a store that nothing holds goes", aStore(func(s *storeSeen) { s.store.DeletionTimestamp = &gone }), false, true, 0,
			"DeletionBlocked=False/Released Ready=False/Deleting Referenced=False/Unreferenced",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decideStore(tc.seen)
			if v.letGo != tc.letGo || v.scheduled != tc.scheduled || v.again != tc.again {
				t.Errorf("%s: letGo %t, scheduled %t, again after %s", tc.reason, v.letGo, v.scheduled, v.again)
			}
			if diff := cmp.Diff(tc.conditions, passtest.Outline(v.conditions)); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}
