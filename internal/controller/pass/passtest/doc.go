// Package passtest has what the tests of reconcilers share: comparisons
// of conditions, and a world whose writes can fail at any point.
package passtest
