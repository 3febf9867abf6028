// Package template gives the values of a deployment template, each evaluated when it is looked at.
//
// Contract: a [Value] is a node in a [Scope]; [Value.Resolve] evaluates it. A [Session] counts what one import has used of
// its bounds, so that a hostile template costs bounded time and memory. What evaluates an expression is given to the
// session: this package knows what an expression can name, and not what it says.
//
// Invariant: nothing is guessed. A value that is not in the input is an error, with what would decide it.
package template
