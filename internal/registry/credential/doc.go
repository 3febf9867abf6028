// Package credential finds the logins to registries where their users keep them.
//
// Contract: a [Credential] comes from a Secret or from the files of docker and podman, and prints as nothing. Errors wrap
// failure.ErrCredentials and hold nothing of what was read. A login that was stored for TLS is never sent in clear.
package credential
