// Package integration tests the product with real components: a Kubernetes API server,
// the distribution registry, and managers under their own ServiceAccount and roles.
package integration
