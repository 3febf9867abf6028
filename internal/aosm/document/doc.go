// Package document parses JSON into nodes that know their position in the input.
//
// Contract: [ParseNamed] parses a file within bounds of its bytes,
// depth and values; errors wrap [ErrInput] and have the position.
//
// Invariant: every node records whether it was read, so that nothing of an input is dropped silently.
//
// Decision: the parser accepts what ARM accepts as JSON, with comments and with line breaks in texts (jsonc.go).
package document
