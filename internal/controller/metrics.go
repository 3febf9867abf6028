package controller

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/reference"
)

// scrapeLimit is how long a scrape may wait for the cache.
const scrapeLimit = 5 * time.Second

func storeMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nfo_"+name, help, append([]string{"namespace", "store"}, labels...), nil)
}

// The metrics of each store. Their values are those of the store's status.
var (
	usedBytes        = storeMetric("store_used_bytes", "Bytes used when the store was last measured.")
	capacityBytes    = storeMetric("store_capacity_bytes", "Bytes that 100 % meant when the store was last measured.")
	reclaimableBytes = storeMetric("store_reclaimable_bytes", "Bytes that a purge could free when the store was last measured.")
	tombstoneCount   = storeMetric("store_tombstones", "Tombstones of the store's location.")
	deletedTotal     = storeMetric("purge_deleted_total", "Digests deleted by all purges of the store.")
	lastSuccess      = storeMetric("purge_last_success_timestamp_seconds", "Unix time, in seconds, at which the last purge ended that succeeded or was not needed.")
	lastCompletion   = storeMetric("purge_last_completion_timestamp_seconds", "Unix time, in seconds, at which the last purge ended.")
	storeReady       = storeMetric("store_ready", "1 while the condition Ready of the store is True, 0 while it is False; absent before the store was looked at.")
	purgeHealthy     = storeMetric("purge_healthy", "1 while the condition PurgeHealthy of the store is True, 0 while it is False; absent while it is Unknown, such as for a suspended purge.")
	artifactCount    = storeMetric("store_artifacts", "Artifacts in all namespaces by state (Present, Failed, other); of the mirror's store alone.", "state")
	lastOutcome      = storeMetric("purge_last_outcome", "1 for how the last purge ended.", "outcome")
)

// storeMetrics reports the watched stores that the cache has at the time of a scrape, so that a deleted store has no
// metrics. It runs only in the leader, so that one replica reports each store, and sums over the replicas are right.
type storeMetrics struct {
	stores  client.Reader
	watched reference.Watched
	journal *journal.Journal // drops stores that no longer exist
	to      prometheus.Registerer
	ctx     context.Context // of the runnable, because a scrape has none
}

// Start registers the metrics until ctx ends. If another manager of the same
// process has registered them, Start leaves that registration in place.
func (c *storeMetrics) Start(ctx context.Context) error {
	c.ctx = ctx
	var taken prometheus.AlreadyRegisteredError
	switch err := c.to.Register(c); {
	case errors.As(err, &taken):
		log.FromContext(ctx).Info("Another manager of this process tells the metrics of stores")
	case err != nil:
		return err
	default:
		defer c.to.Unregister(c)
	}
	<-ctx.Done()
	return nil
}

// Describe sends every metric that may be reported.
func (c *storeMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{usedBytes, capacityBytes, reclaimableBytes, tombstoneCount, deletedTotal, lastSuccess, lastCompletion, lastOutcome, purgeHealthy, storeReady, artifactCount} {
		to <- d
	}
}

// Collect reports every store. If the stores cannot be listed, this
// scrape has none of them, because the same page has other metrics.
func (c *storeMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(c.ctx, scrapeLimit)
	defer cancel()
	var all v1alpha1.ArtifactStoreList
	if err := c.stores.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "Listing stores for their metrics")
		return
	}
	there := map[types.NamespacedName]bool{}
	for i := range all.Items {
		there[client.ObjectKeyFromObject(&all.Items[i])] = true
		if c.watched.Has(all.Items[i].Namespace) {
			collectStore(&all.Items[i], to)
		}
	}
	c.journal.Keep(there)
}

func collectStore(s *v1alpha1.ArtifactStore, to chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, append([]string{s.Namespace, s.Name}, labels...)...)
	}
	seconds := func(t metav1.Time) float64 { return float64(t.Unix()) }
	if u := s.Status.Usage; u != nil {
		send(usedBytes, prometheus.GaugeValue, float64(u.UsedBytes))
		send(reclaimableBytes, prometheus.GaugeValue, float64(u.ReclaimableBytes))
		if u.CapacityBytes != nil {
			send(capacityBytes, prometheus.GaugeValue, float64(*u.CapacityBytes))
		}
	}
	if n := s.Status.Tombstones; n != nil {
		send(tombstoneCount, prometheus.GaugeValue, float64(*n))
	}
	if n := s.Status.Artifacts; n != nil {
		send(artifactCount, prometheus.GaugeValue, float64(n.Present), string(v1alpha1.MirrorPresent))
		send(artifactCount, prometheus.GaugeValue, float64(n.Failed), string(v1alpha1.MirrorFailed))
		send(artifactCount, prometheus.GaugeValue, float64(n.Total-n.Present-n.Failed), "other")
	}
	send(deletedTotal, prometheus.CounterValue, float64(s.Status.DeletedTotal))
	if at := s.Status.LastSuccessTime; at != nil {
		send(lastSuccess, prometheus.GaugeValue, seconds(*at))
	}
	for kind, d := range map[string]*prometheus.Desc{v1alpha1.ConditionReady: storeReady, v1alpha1.ConditionPurgeHealthy: purgeHealthy} {
		switch c := apimeta.FindStatusCondition(s.Status.Conditions, kind); {
		case c == nil || c.Status == metav1.ConditionUnknown:
		case c.Status == metav1.ConditionTrue:
			send(d, prometheus.GaugeValue, 1)
		default:
			send(d, prometheus.GaugeValue, 0)
		}
	}
	if last := s.Status.LastPurge; last != nil {
		send(lastCompletion, prometheus.GaugeValue, seconds(last.CompletionTime))
		send(lastOutcome, prometheus.GaugeValue, 1, string(last.Outcome))
	}
}
