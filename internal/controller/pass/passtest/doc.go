// Package passtest compares what passes say, for the tests of reconcilers.
package passtest
