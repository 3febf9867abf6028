// Package arm reads the names that Azure Resource Manager gives resources.
//
// Contract: an [ID] is parsed and compared whole and in any case; text that AOSM's patterns forbid is not a name.
//
// Invariant: what only a deployment knows is a character of its own in texts (unknown.go), which no name can have. So it
// passes through every function of a template, and is never taken for something that the input says.
package arm
