// Package integration tests the product on real parts: a real API server, the real
// distribution registry, and managers under their own ServiceAccount and roles.
package integration
