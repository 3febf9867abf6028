// Package lane bounds how many passes are in registries at once.
//
// Contract: [Lane.Enter] gives a pass a place, or returns how long to wait; it never blocks. Places are bounded for each
// store, for each namespace, and for all slow registries together. [Speeds] learns from the answers which registries are
// slow. [Lane.Yield] tells a pass that can continue later to leave while another namespace waits for its place.
package lane
