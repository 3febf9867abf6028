package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// purged returns a store whose last purge had this outcome, at a known time.
func purged(outcome v1alpha1.PurgeOutcome, change func(*v1alpha1.ArtifactStore)) storeSeen {
	return aStore(func(s *storeSeen) {
		s.store.Spec.Purge.TimeZone = "Etc/UTC"
		s.store.Status.LastPurge = &v1alpha1.PurgeRun{Outcome: outcome, CompletionTime: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
		change(s.store)
	})
}

// running adds the Jobs of the purge to an observation.
func (seen storeSeen) running(runs purgeRuns) storeSeen {
	seen.runs = runs
	seen.runs.recorded = seen.store.Status.LastPurge
	return seen
}

func measured(s *v1alpha1.ArtifactStore) {
	s.Spec.Purge.ThresholdPercent, s.Spec.Purge.TargetPercent = 80, 60
	s.Status.Usage = &v1alpha1.StoreUsage{UsedBytes: 71 << 30, CapacityBytes: new(int64(100 << 30)), Percent: new(int32(71))}
}

func TestPurgeHealthySays(t *testing.T) {
	t.Parallel()
	const next = ` The next one starts by schedule "0 0 * * *", Etc/UTC.`
	tests := map[string]struct {
		reason string
		seen   storeSeen
		want   string
	}{
		"Never": {"there was no purge", aStore(func(s *storeSeen) { s.store.Spec.Purge.TimeZone = "Etc/UTC" }), "True/Scheduled No purge has been done yet." + next},
		"Succeeded": {
			"what it did, and why it kept the rest", purged(v1alpha1.PurgeSucceeded, func(s *v1alpha1.ArtifactStore) {
				run := s.Status.LastPurge
				run.Deleted, run.Kept, run.ReclaimedBytes = 3, 5, 1<<30+1<<29
				run.KeptByReason = []v1alpha1.KeptCount{{Reason: "GracePeriod", Count: 3}, {Reason: "Held", Count: 2}}
			}), "True/Succeeded The last purge ended at 2026-01-02T03:04:05Z: it deleted 3 digests, reclaimed 1.5 GiB and kept 5 (3 GracePeriod, 2 Held)." + next,
		},
		"Usage": {
			"how full it was, and what that is compared with", purged(v1alpha1.PurgeSucceeded, measured),
			"True/Succeeded The last purge ended at 2026-01-02T03:04:05Z: it deleted 0 digests, reclaimed 0 B and kept 0. " +
				"When last measured, 71 GiB of 100 GiB were used (71 %, threshold 80 %, target 60 %)." + next,
		},
		"Freed": {
			"what the disk has got of it", purged(v1alpha1.PurgeSucceeded, func(s *v1alpha1.ArtifactStore) {
				run := s.Status.LastPurge
				run.Deleted, run.ReclaimedBytes, run.FreedBytes, run.Kept, run.KeptByReason = 3, 1024, new(int64(2048)), 2, []v1alpha1.KeptCount{{Reason: "Held", Count: 2}}
			}), "True/Succeeded The last purge ended at 2026-01-02T03:04:05Z: it deleted 3 digests, reclaimed 1 KiB and kept 2 (2 Held), and the registry freed 2 KiB on disk." + next,
		},
		"NoCapacity": {
			"nothing says what 100 % means", purged(v1alpha1.PurgeSucceeded, func(s *v1alpha1.ArtifactStore) {
				s.Status.Usage = &v1alpha1.StoreUsage{UsedBytes: 2048, UncollectedBytes: 1023}
			}), "True/Succeeded The last purge ended at 2026-01-02T03:04:05Z: it deleted 0 digests, reclaimed 0 B and kept 0. " +
				"When last measured, 2 KiB were used (1023 B left for the registry to collect)." + next,
		},
		"BelowThreshold": {
			"it was not needed, which both numbers show", purged(v1alpha1.PurgeBelowThreshold, func(s *v1alpha1.ArtifactStore) {
				measured(s)
				s.Status.LastPurge.Message = "nothing needs to go: 71.0 % used, the threshold is 80 %"
			}), "True/BelowThreshold The last purge ended at 2026-01-02T03:04:05Z and deleted nothing: nothing needs to go: 71.0 % used, the threshold is 80 %. " +
				"When last measured, 71 GiB of 100 GiB were used (71 %, threshold 80 %, target 60 %)." + next,
		},
		"SaysMore": {
			"what else there is to know of it", purged(v1alpha1.PurgeSucceeded, func(s *v1alpha1.ArtifactStore) { s.Status.LastPurge.Message = "The volume gets emptier later." }),
			"True/Succeeded The last purge ended at 2026-01-02T03:04:05Z: it deleted 0 digests, reclaimed 0 B and kept 0. The volume gets emptier later." + next,
		},
		"UsageUnknown": {
			"why it did not begin", purged(v1alpha1.PurgeUsageUnknown, func(s *v1alpha1.ArtifactStore) {
				s.Spec.Purge.ThresholdPercent, s.Status.LastPurge.Message = 80, "no capacity."
			}), "False/UsageUnknown The last purge ended at 2026-01-02T03:04:05Z and deleted nothing: no capacity." + next,
		},
		"Failed": {
			"why it failed, and what it did before", purged(v1alpha1.PurgeFailed, func(s *v1alpha1.ArtifactStore) {
				s.Status.LastPurge.Message, s.Status.LastPurge.Deleted = "the registry is down.", 1
			}), "False/Failed The last purge ended at 2026-01-02T03:04:05Z and failed: the registry is down. It deleted 1 digest, reclaimed 0 B and kept 0." + next,
		},
		"I8DryRun": {
			"a dry run records nothing: only this tells why nothing changes", aStore(func(s *storeSeen) {
				s.store.Spec.Purge.TimeZone, s.store.Spec.Purge.DryRun = "Etc/UTC", true
			}), "True/Scheduled No purge has been done yet." + next + " spec.purge.dryRun is set, so that nothing is deleted and no run is recorded here.",
		},
		"JobFailed": {
			"a run that could not record itself comes after the last one that could", purged(v1alpha1.PurgeSucceeded, func(*v1alpha1.ArtifactStore) {}).running(
				theRuns(aJob("j", hour, failedBy("BackoffLimitExceeded", "", hour))).fact("j", runFact{pod: aPod(corev1.PodFailed, hour, exited("purge", "OOMKilled", "", 137, hour, hour))})),
			"False/Failed The last recorded purge ended at 2026-01-02T03:04:05Z: it deleted 0 digests, reclaimed 0 B and kept 0. " +
				"Job ns/j failed with BackoffLimitExceeded: pod pod-x ended with OOMKilled (exit code 137). Raise the memory limit of purge pods (purge.resources in the chart's values). " +
				"To purge at once: `kubectl create job -n ns --from=cronjob/acme-purge NAME`. " +
				`The next one is due at 2026-01-03T00:00:00Z, by schedule "0 0 * * *", Etc/UTC.`,
		},
		"NoDelete": {
			"what else stops purges is not forgotten", aStore(func(s *storeSeen) {
				s.store.Status.Capabilities.Delete = v1alpha1.Unsupported
				s.runs = theRuns(aJob("j", hour))
			}), "False/NotStarted Job ns/j has not started: it has no pod, and no event says why. `kubectl describe job -n ns j` shows more. " +
				"Kubernetes then starts it automatically. If you change the image or purge.resources, delete the Job too, which keeps its template: `kubectl delete job -n ns j`. " +
				`Deletion is disabled in the registry, so the tombstones wait. Enable it there. The next one is due at 2026-01-03T00:00:00Z, by schedule "0 0 * * *", Etc/UTC.`,
		},
		"Suspended": {
			"the last purge is shown also when none comes", purged(v1alpha1.PurgeSucceeded, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Suspend = true }),
			"Unknown/Suspended The last purge ended at 2026-01-02T03:04:05Z: it deleted 0 digests, reclaimed 0 B and kept 0. spec.purge.suspend is set, so no purge starts on schedule.",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decideStore(tc.seen)
			c := apimeta.FindStatusCondition(v.conditions, v1alpha1.ConditionPurgeHealthy)
			if diff := cmp.Diff(tc.want, string(c.Status)+"/"+c.Reason+" "+c.Message); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// A store must be requeued for the time when a run would be late
// or should have started, and not later than for the next ping.
func TestAStoreWakesForItsPurge(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		runs   purgeRuns
		want   time.Duration
	}{
		"Ping":  {"nothing is due before the registry is asked again", theRuns(), pingWell},
		"Young": {"a Job has half of its minute left", theRuns(aJob("j", 30*second)), 30 * second},
		"Due": {"a run was due 8 minutes ago", theRuns().with(func(r *purgeRuns) {
			r.cron.Spec.Schedule, r.cron.Status.LastScheduleTime = "52 11 * * *", new(ago(24*hour))
		}), 2 * minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := decideStore(aStore(func(s *storeSeen) { s.runs = tc.runs })).again; got != tc.want {
				t.Errorf("%s: it wakes after %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}

// concluded returns the conditions that a store has after a pass.
func concluded(seen storeSeen, err error) []metav1.Condition {
	v := decideStore(seen)
	v.after(seen.store, err)
	var all []metav1.Condition
	v.conditions.Apply(&all, 1)
	return all
}

func TestEachPurgeIsToldOnce(t *testing.T) {
	t.Parallel()
	same := func(*v1alpha1.ArtifactStore) {}
	later := func(s *v1alpha1.ArtifactStore) {
		s.Status.LastPurge.CompletionTime = metav1.NewTime(s.Status.LastPurge.CompletionTime.Add(24 * time.Hour))
	}
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "CronJob"}, "acme-purge", nil)
	was := func(change func(*storeSeen), err error) []metav1.Condition {
		seen := purged(v1alpha1.PurgeSucceeded, same)
		change(&seen)
		return concluded(seen, err)
	}
	ready := was(func(*storeSeen) {}, nil)
	tests := map[string]struct {
		reason string
		before []metav1.Condition
		now    storeSeen
		want   string // severity and reason, "" for none
	}{
		"First":          {"the first purge of all", concluded(aStore(func(*storeSeen) {}), nil), purged(v1alpha1.PurgeSucceeded, same), "Normal Succeeded"},
		"Next":           {"the outcome is the same and it is another purge", ready, purged(v1alpha1.PurgeSucceeded, later), "Normal Succeeded"},
		"Restart":        {"a manager that starts finds the purge announced", ready, purged(v1alpha1.PurgeSucceeded, same), ""},
		"OtherWords":     {"the spec has changed and no purge has ended", ready, purged(v1alpha1.PurgeSucceeded, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Suspend = true }), ""},
		"Failed":         {"a failure warns", ready, purged(v1alpha1.PurgeFailed, later), "Warning Failed"},
		"UsageUnknown":   {"what cannot be measured warns", ready, purged(v1alpha1.PurgeUsageUnknown, later), "Warning UsageUnknown"},
		"BelowThreshold": {"what was not needed does not", ready, purged(v1alpha1.PurgeBelowThreshold, later), "Normal BelowThreshold"},
		"AfterInert":     {"a store that was inert tells nothing twice", was(func(s *storeSeen) { s.winner = &v1alpha1.ArtifactStore{} }, nil), purged(v1alpha1.PurgeSucceeded, same), ""},
		"AfterInvalid":   {"nor one whose schedule was refused", was(func(*storeSeen) {}, invalid), purged(v1alpha1.PurgeSucceeded, same), ""},
		"NoPurge":        {"there was none", nil, aStore(func(*storeSeen) {}), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tc.now.store
			s.Status.Conditions = concluded(tc.now, nil)
			got := ""
			if e := purgeToTell(tc.before, s); e != nil {
				got = e.severity + " " + e.reason
			}
			if got != tc.want {
				t.Errorf("%s: says %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

// While a store is being deleted, PurgeHealthy is not set, so its last purge must not be announced again and again.
func TestAPurgeThatNoConditionNamesIsNotTold(t *testing.T) {
	t.Parallel()
	seen := purged(v1alpha1.PurgeSucceeded, func(s *v1alpha1.ArtifactStore) { s.DeletionTimestamp = new(metav1.Unix(1, 0)) })
	seen.store.Status.Conditions = concluded(seen, nil)
	if e := purgeToTell(nil, seen.store); e != nil {
		t.Errorf("it says %+v", e)
	}
}
