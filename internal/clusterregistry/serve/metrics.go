package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The metrics of a registry. Sums over replicas are right for what each
// replica counts. The metrics of the volume are the same in all replicas.
var (
	volumeBytes     = prometheus.NewDesc("nfo_registry_volume_bytes", "Size of the registry's volume, in bytes.", nil, nil)
	volumeFreeBytes = prometheus.NewDesc("nfo_registry_volume_free_bytes", "Bytes of the registry's volume that can still be written.", nil, nil)
	volumeReady     = prometheus.NewDesc("nfo_registry_volume_ready", "1 while the volume, or other storage, answers and does what the registry needs, otherwise 0.", nil, nil)
	requestsNow     = prometheus.NewDesc("nfo_registry_requests", "Requests that are being answered.", nil, nil)
)

// counters count what a registry has done since its process started.
type counters struct {
	full, busy          prometheus.Counter
	collections         *prometheus.CounterVec
	freed, scrubbed     prometheus.Counter
	corrupt, unreadable prometheus.Counter
}

func newCounters() *counters {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &counters{
		full:       counter("nfo_registry_uploads_refused_total", "Uploads refused because the volume was too full."),
		busy:       counter("nfo_registry_requests_refused_total", "Requests refused because too many were being answered."),
		freed:      counter("nfo_registry_collection_freed_bytes_total", "Bytes of blobs that collections have deleted."),
		corrupt:    counter("nfo_registry_scrub_corrupt_total", "Corrupt blobs that the scrub has set aside."),
		unreadable: counter("nfo_registry_scrub_unreadable_total", "Blobs that the scrub could not read, and left where they are."),
		scrubbed:   counter("nfo_registry_scrub_read_bytes_total", "Bytes that the scrub has read."),
		collections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nfo_registry_collections_total", Help: "Collections that have ended, by outcome: Succeeded, DryRun or Failed.",
		}, []string{"outcome"}),
	}
}

func (c *counters) all() []prometheus.Collector {
	return []prometheus.Collector{c.full, c.busy, c.collections, c.freed, c.corrupt, c.unreadable, c.scrubbed}
}

// Describe implements prometheus.Collector.
func (r *Registry) Describe(to chan<- *prometheus.Desc) {
	to <- volumeBytes
	to <- volumeFreeBytes
	to <- volumeReady
	to <- requestsNow
	for _, c := range r.counters.all() {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector. It does not read the volume's usage while the volume does not answer.
func (r *Registry) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(requestsNow, float64(len(r.turns.all)))
	now, works := time.Now(), 0.0
	if r.prober.works(now) == nil {
		works = 1
	}
	gauge(volumeReady, works)
	if r.prober.ready(now) == nil {
		r.collectUsage(gauge)
	}
	for _, c := range r.counters.all() {
		c.Collect(to)
	}
}

// collectUsage reports how full the volume is. Other storage cannot report this.
func (r *Registry) collectUsage(gauge func(*prometheus.Desc, float64)) {
	if r.foreign != nil {
		return
	}
	if u, err := r.o.Volume.Usage(); err == nil {
		gauge(volumeBytes, float64(u.Size))
		gauge(volumeFreeBytes, float64(u.Free))
	}
}
