// Package backend opens the registry behind a store.
//
// Contract: [Registries.Open] reads the store's Secret, live, and returns a client that is kept while nothing of the
// store or its Secret changes. [Inert] says why a store may not be used.
//
// Decision: clients are kept, so that connections and tokens are. Rejected: one client for each pass, which would log
// in for each.
package backend
