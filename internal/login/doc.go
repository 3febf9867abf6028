// Package login logs docker and podman in to the cluster's own registry.
//
// Contract: [NewCommand] is `kubectl nfo login`. It gets a token from package token and stores it where docker or podman
// reads logins. It prints the token only with --to print.
//
// Decision: it stores the token without trying it, so that a login can be prepared before the registry can be reached.
package login
