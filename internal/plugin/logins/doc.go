// Package logins has the ways in which a person is logged in to registries.
//
// Contract: [Flags.Stored] uses what docker or podman has stored, and [Flags.Cluster] logs in to the cluster's own
// registry.
//
// Invariants held here:
//
//   - No login is sent unencrypted to a host that --plain-http does not name, but for this machine.
package logins
