// Package environment gives tests and benchmarks real components: a Kubernetes API server with its
// controller manager, the product's CRDs and roles installed from config (the chart installs the same
// ones, which package chart tests), and managers that run in this process under their own ServiceAccount.
//
// Decision: each test binary has one API server, and each test has its own namespace and manager. The
// manager's cache contains only that namespace, so that tests can run in parallel and can stop, starve
// and replace their manager. Rejected: one manager for all tests, because no test could then crash it.
package environment
