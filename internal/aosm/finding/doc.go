// Package finding reports what happened to the parts of an input.
//
// Contract: a [Report] collects the findings of one import, each with its path in the input.
//
// Invariant: [Report.Leftovers] reports every node that was not dealt with, so that nothing is dropped silently.
package finding
