// Package credential finds the logins to registries where their users store them.
//
// Contract: a [Credential] comes from a Secret or from the files of docker and podman,
// and is redacted when it is printed. Errors wrap failure.ErrCredentials and contain
// nothing of what was read. A login that was stored for TLS is never sent in clear.
package credential
