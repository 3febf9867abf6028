// Package login logs docker and podman in to the cluster's own registry.
//
// Contract: [NewCommand] is `kubectl nfo login`. It gets a token by package token and stores it where docker or podman
// reads logins. It prints the token only if that is asked for.
//
// Decision: it stores the token and does not try it, so that a login can be prepared before the registry can be reached.
package login
