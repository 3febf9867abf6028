// Package template has the values of a deployment template, each evaluated when it is first used.
//
// Contract: a [Value] is a node in a [Scope]; [Value.Resolve] evaluates it. A [Session] counts what one import has
// used of its bounds, so that a hostile template costs bounded time and memory. The session is given the function
// that evaluates expressions: this package knows the names that an expression can use, but not its syntax.
//
// Invariant: nothing is guessed. A value that is not in the input is an error, with what would decide it.
package template
