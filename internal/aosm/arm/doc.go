// Package arm parses the names and ids of resources in Azure Resource Manager (ARM).
//
// Contract: an [ID] is parsed and compared whole and in any case. A text that AOSM's patterns forbid is not a name.
//
// Invariant: a value that only a deployment knows is a special character in texts (unknown.go), which no name can
// contain. The character passes through every function of a template, and is never taken for a value of the input.
package arm
