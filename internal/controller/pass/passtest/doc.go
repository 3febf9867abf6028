// Package passtest has what the tests of reconcilers share: what passes say, compared, and a world whose writes can end
// at any point.
package passtest
