// Package document reads JSON into nodes that know their place in the input.
//
// Contract: [ParseNamed] reads a file within bounds of its bytes, depth and values; errors wrap [ErrInput] and say where.
//
// Invariant: every node remembers whether anything has looked at it, so that nothing of an input is dropped silently.
//
// Decision: it reads what ARM accepts as JSON, comments and line breaks in texts included (jsonc.go).
package document
