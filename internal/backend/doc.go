// Package backend opens the registry of a store.
//
// Contract: [Registries.Open] reads the store's Secret, live, and returns a client that is reused until the
// store or its Secret changes. [Inert] says why a store may not be used.
//
// Decision: clients are reused, and with them their connections and tokens. Rejected: one client for each pass, because each
// pass would log in again.
package backend
