package journal

import "github.com/prometheus/client_golang/prometheus"

// Labels of the metrics.
const (
	labelNamespace = "namespace"
	labelStore     = "store"
	labelCause     = "cause"
	labelOutcome   = "outcome"
	labelReason    = "reason"
	labelKind      = "kind"
	labelOperation = "operation"
	labelCode      = "code"
	labelMethod    = "method"
	labelLane      = "lane"
)

// These are the buckets of the histograms, in seconds: an answer of a
// registry, a release with all its tags, and a wait for a place in a lane.
var (
	requestBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}
	releaseBuckets = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	waitBuckets    = []float64{.001, .5, 1, 2.5, 5, 10, 30, 60, 300, 900}
)

// metrics are the metrics of a Journal.
type metrics struct {
	releases, removed, restored, notRestored *prometheus.CounterVec
	refusals, requests, polls, purges        *prometheus.CounterVec
	releaseSeconds, requestSeconds, waits    *prometheus.HistogramVec
}

func newMetrics() metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	ofStore := func(name, help string, labels ...string) *prometheus.CounterVec {
		return counter(name, help, append([]string{labelNamespace, labelStore}, labels...)...)
	}
	histogram := func(name, help, label string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
	}
	return metrics{
		releases:       ofStore("nfo_releases_total", "Releases of manifests and of entries that left them, by cause (Released, Removed) and outcome (Released, Held, Waiting, Untouched, Superseded, Failed).", labelCause, labelOutcome),
		releaseSeconds: histogram("nfo_release_duration_seconds", "How long a release took, evidence and all tags included, by outcome.", labelOutcome, releaseBuckets),
		removed:        ofStore("nfo_tags_removed_total", "Tags that releases removed."),
		restored:       ofStore("nfo_tags_restored_total", "Tags that were restored, from tombstones or to the digest they were sealed at."),
		notRestored:    ofStore("nfo_tags_not_restored_total", "Tags that could not be restored, by reason (UndoLost, TagTaken).", labelReason),
		refusals:       counter("nfo_refusals_total", "Requests that the webhooks refused, by kind, operation and reason of the API (Conflict, Invalid, Forbidden, ServiceUnavailable).", labelKind, labelOperation, labelReason),
		requests:       ofStore("nfo_store_requests_total", "Requests to the registries of stores by code of the answer; error without an answer. Those to the sources of the mirror have no store.", labelCode),
		requestSeconds: histogram("nfo_store_request_duration_seconds", "How long registries took to begin an answer, by method.", labelMethod, requestBuckets),
		polls:          ofStore("nfo_polls_total", "Turns in which manifests asked registries what is there, by outcome (Answered, Failed).", labelOutcome),
		purges:         ofStore("nfo_purges_total", "Purges that ended and left a result, by outcome (Succeeded, Failed, UsageUnknown, BelowThreshold).", labelOutcome),
		waits:          histogram("nfo_lane_wait_seconds", "How long a pass waited until there was a place in its lane (polls, releases, pings, charts, checks, copies).", labelLane, waitBuckets),
	}
}

// all returns all metrics, to be registered.
func (m metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.releases, m.releaseSeconds, m.removed, m.restored, m.notRestored, m.refusals, m.requests, m.requestSeconds, m.polls, m.purges, m.waits}
}

// ofStores returns the counters that have labels of stores.
func (m metrics) ofStores() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{m.releases, m.removed, m.restored, m.notRestored, m.requests, m.polls, m.purges}
}

// Describe implements prometheus.Collector.
func (j *Journal) Describe(to chan<- *prometheus.Desc) {
	for _, c := range j.metrics.all() {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (j *Journal) Collect(to chan<- prometheus.Metric) {
	for _, c := range j.metrics.all() {
		c.Collect(to)
	}
}
