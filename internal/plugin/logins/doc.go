// Package logins finds the user's logins to registries.
//
// Contract: [Flags.Stored] uses the logins that docker or podman has
// stored, and [Flags.Cluster] logs in to the cluster's own registry.
//
// Invariants held here:
//
//   - No login is sent unencrypted, except to this machine and to the hosts of --plain-http.
package logins
