// Package lane bounds how many passes are in registries at once.
//
// Contract: [Lane.Enter] gives a pass a place, or says when to come again; nobody waits inside. Places are bounded by
// store, by namespace, and for all registries that are slow, which [Speeds] learns from the answers.
// [Lane.Yield] tells a pass that can go on another time to leave while another namespace waits for its place.
package lane
