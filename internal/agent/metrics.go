package agent

import "github.com/prometheus/client_golang/prometheus"

// The values of the label source.
const (
	sourceRegistry = "registry"
	sourceOrigin   = "origin"
	// sourceMissing means that neither has it, or that the origin refuses access.
	sourceMissing = "missing"
	// sourceFailed means that no source could answer.
	sourceFailed = "failed"
)

// counters has the agent's metrics.
type counters struct{ requests *prometheus.CounterVec }

func newCounters() *counters {
	c := &counters{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nfo_agent_requests_total",
		Help: "Requests of the node's container runtime, by where the answer is from: registry, origin, missing (neither has it) or failed (neither could be asked).",
	}, []string{"source"})}
	for _, source := range []string{sourceRegistry, sourceOrigin, sourceMissing, sourceFailed} {
		c.requests.WithLabelValues(source)
	}
	return c
}

func (c *counters) count(source string) { c.requests.WithLabelValues(source).Inc() }

// Describe is of prometheus.Collector.
func (a *Agent) Describe(to chan<- *prometheus.Desc) { a.counters.requests.Describe(to) }

// Collect is of prometheus.Collector.
func (a *Agent) Collect(to chan<- prometheus.Metric) { a.counters.requests.Collect(to) }
