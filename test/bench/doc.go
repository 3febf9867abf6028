// Package bench measures what the operator costs, on a real API server and a real registry, beside
// the bare requests that the same work needs and, for a purge, beside other cleaners. It prints; it
// judges nothing, for machines differ: trust the ratios of one run.
package bench
