// Package environment gives tests and benchmarks the real parts: a Kubernetes API server
// with its controller manager, the product's CRDs and roles installed from config, which are
// the chart's too (package chart), and managers that run in this process under their own ServiceAccount.
//
// Decision: one API server for a test binary, one namespace and one manager for a test; the
// manager's cache sees that namespace only, so that tests run side by side and can stop,
// starve and replace their manager. Rejected: one manager for all tests, because no test
// could then crash it.
package environment
