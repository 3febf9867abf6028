package integration

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	batchv1 "k8s.io/api/batch/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/test/environment"
)

// measuring runs a manager whose store metrics go to a separate registry of metrics.
func (s *scene) measuring() *prometheus.Registry {
	s.t.Helper()
	base := ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0"}
	base.Controller = config.Controller{SkipNameValidation: new(true)}
	base.Cache.DefaultNamespaces = map[string]cache.Config{s.ns: {}}
	registry := prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	mgr, err := controller.NewManager(ctx, env.Judged(environment.ManagerUser), base, controller.Options{
		PollsPerSecond: 100, Metrics: registry, Purger: cronjob.Settings{Image: purgerImage, Resources: cronjob.DefaultResources(), AllowLoopback: true},
	})
	if err != nil {
		cancel()
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the manager has ended: %v", err)
		}
	})
	return registry
}

// purged writes a purge's result to a store's status.
func (s *scene) purged(st *v1alpha1.ArtifactStore, run v1alpha1.PurgeRun) {
	s.t.Helper()
	s.Eventually(func() error {
		if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(st), st); err != nil {
			return err
		}
		run.StartTime = run.CompletionTime
		st.Status.LastPurge, st.Status.LastSuccessTime = &run, &run.CompletionTime
		st.Status.DeletedTotal += int64(run.Deleted)
		st.Status.Usage = &v1alpha1.StoreUsage{Source: v1alpha1.UsageAccounted, UsedBytes: 70, CapacityBytes: new(int64(100)), ReclaimableBytes: 20, MeasuredAt: run.CompletionTime}
		return env.Client.Status().Update(s.t.Context(), st)
	}).Should(gomega.Succeed())
}

func TestMetricsTellOfTheStoresThatAre(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	registry := s.measuring()
	st := s.store("acme")
	s.create(st)
	s.eventually(st, v1alpha1.ConditionReady, "True/Ready")
	s.purged(st, v1alpha1.PurgeRun{Outcome: v1alpha1.PurgeSucceeded, CompletionTime: metav1.Unix(1000, 0), Deleted: 12})
	label := `namespace="` + s.ns + `",store="acme"`
	want := `
# HELP nfo_purge_deleted_total Digests deleted by all purges of the store.
# TYPE nfo_purge_deleted_total counter
nfo_purge_deleted_total{` + label + `} 12
# HELP nfo_purge_healthy 1 while the condition PurgeHealthy of the store is True, 0 while it is False; absent while it is Unknown, such as for a suspended purge.
# TYPE nfo_purge_healthy gauge
nfo_purge_healthy{` + label + `} 1
# HELP nfo_purge_last_outcome 1 for how the last purge ended.
# TYPE nfo_purge_last_outcome gauge
nfo_purge_last_outcome{namespace="` + s.ns + `",outcome="Succeeded",store="acme"} 1
# HELP nfo_purge_last_success_timestamp_seconds Unix time, in seconds, at which the last purge ended that succeeded or was not needed.
# TYPE nfo_purge_last_success_timestamp_seconds gauge
nfo_purge_last_success_timestamp_seconds{` + label + `} 1000
# HELP nfo_store_used_bytes Bytes used when the store was last measured.
# TYPE nfo_store_used_bytes gauge
nfo_store_used_bytes{` + label + `} 70
# HELP nfo_store_tombstones Tombstones of the store's location.
# TYPE nfo_store_tombstones gauge
nfo_store_tombstones{` + label + `} 0
`
	names := []string{"nfo_purge_deleted_total", "nfo_purge_healthy", "nfo_purge_last_outcome", "nfo_purge_last_success_timestamp_seconds", "nfo_store_used_bytes", "nfo_store_tombstones"}
	s.Eventually(func() error { return testutil.GatherAndCompare(registry, strings.NewReader(want), names...) }).Should(gomega.Succeed())
	s.alertsAreOnWhatIsTold(registry)

	s.delete(st)
	s.goes(st)
	s.Eventually(func() (int, error) {
		return testutil.GatherAndCount(registry, append(names, "nfo_store_requests_total")...)
	}).Should(gomega.BeZero(), "a store that has gone has no values")
}

// rare are metrics that have values only after what they count has
// happened. Tests of internal/controller check that they exist.
var rare = []string{"nfo_releases_total", "nfo_tags_not_restored_total", "nfo_store_artifacts"}

// alertsAreOnWhatIsTold checks that every metric of the manager in the chart's alerts has values.
func (s *scene) alertsAreOnWhatIsTold(stores prometheus.Gatherer) {
	s.t.Helper()
	alerts, err := os.ReadFile("../../charts/nfo/templates/alerts.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(nfo|controller_runtime)_[a-z_]+`).FindAllString(string(alerts), -1)
	s.Expect(names).To(gomega.ContainElements("nfo_store_used_bytes", "controller_runtime_reconcile_errors_total"))
	for _, name := range names {
		// Tests of internal/clusterregistry/serve check the registry's metrics.
		if strings.HasPrefix(name, "nfo_registry_") || slices.Contains(rare, name) {
			continue
		}
		n, err := testutil.GatherAndCount(stores, name)
		if n == 0 && err == nil { // controller-runtime keeps its metrics in another registry
			n, err = testutil.GatherAndCount(metrics.Registry, name)
		}
		s.Expect(n, err).NotTo(gomega.BeZero(), "nobody tells %s", name)
	}
}

// purgeNotes returns the notes of the events with this reason about the store "acme".
func (s *scene) purgeNotes(reason string) []string {
	s.t.Helper()
	var l eventsv1.EventList
	if err := env.Client.List(s.t.Context(), &l, client.InNamespace(s.ns)); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range l.Items {
		if e.Regarding.Name == "acme" && e.Reason == reason {
			out = append(out, e.Note)
		}
	}
	return out
}

func TestEachPurgeHasOneEvent(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	m := s.manage(scheduled)
	st := s.scheduledStore()
	at := func(hour int) metav1.Time { return metav1.NewTime(time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC)) }
	s.purged(st, v1alpha1.PurgeRun{Outcome: v1alpha1.PurgeSucceeded, CompletionTime: at(1), Deleted: 3, Kept: 2, ReclaimedBytes: 1536, KeptByReason: []v1alpha1.KeptCount{{Reason: "Held", Count: 2}}})
	did := "The last purge ended at 2026-01-02T01:00:00Z: it deleted 3 digests, reclaimed 1.5 KiB and kept 2 (2 Held). When last measured, 70 B of 100 B were used."
	s.Eventually(func() []string { return s.purgeNotes("Succeeded") }).Should(gomega.Equal([]string{did}))
	s.says(st, v1alpha1.ConditionPurgeHealthy, "True/Succeeded", did+` The next one starts by schedule "0 0 * * *", Etc/UTC.`)

	m.Stop()
	s.manage(scheduled)
	s.purged(st, v1alpha1.PurgeRun{Outcome: v1alpha1.PurgeFailed, CompletionTime: at(2), Message: "the registry is down"})
	s.Eventually(func() []string { return s.purgeNotes("Failed") }).Should(gomega.HaveLen(1))
	s.Expect(s.purgeNotes("Failed")[0]).To(gomega.ContainSubstring("the registry is down"))
	s.Expect(s.purgeNotes("Succeeded")).To(gomega.HaveLen(1), "the manager that came after has not announced the first purge again")
}

func TestACronJobLosesTheVolumeThatIsNoLongerMeasured(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore(func(o *v1alpha1.ArtifactStore) {
		o.Spec.Purge.Usage, o.Spec.Purge.PersistentVolumeClaim = v1alpha1.UsageVolume, &v1alpha1.LocalReference{Name: "registry"}
	})
	volumes := func() (claims []string) {
		job := &batchv1.CronJob{ObjectMeta: s.meta("acme-purge")}
		s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(job), job)).To(gomega.Succeed())
		for _, v := range job.Spec.JobTemplate.Spec.Template.Spec.Volumes {
			claims = append(claims, v.PersistentVolumeClaim.ClaimName)
		}
		return claims
	}
	s.Expect(volumes()).To(gomega.Equal([]string{"registry"}))
	change(s, st, func(o *v1alpha1.ArtifactStore) {
		o.Spec.Purge.Usage, o.Spec.Purge.PersistentVolumeClaim = v1alpha1.UsageAccounted, nil
	})
	s.Eventually(volumes).Should(gomega.BeEmpty())
}
