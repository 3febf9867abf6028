// Package bench measures the cost of the operator with a real API server and a real registry, next
// to the bare requests for the same work and, for a purge, next to other cleaners. Most benchmarks
// only print results and do not fail, because machines differ: trust the ratios within one run.
package bench
