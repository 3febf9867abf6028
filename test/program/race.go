//go:build race

package program

// Racing reports whether this program has the race detector.
const Racing = true
