// Package collect deletes the files of a volume that cannot be reached from any root, while registries write to it.
//
// Contract: Run runs one cycle. A cycle may run at the same time as any number of writers, readers and other cycles,
// and may be killed at any step: nothing that a root reaches is lost, and the next cycle continues from the state that
// it finds. The package knows the volume and its layout; it knows no cluster, no HTTP and no registry.
//
// A cycle has six phases. C0 restores what earlier cycles left in the trash. C1 marks what roots reach; files that are
// not marked and are older than Options.Grace are candidates. C2 hides the candidates, by a rename of each file and
// never of a folder. C3 waits. C4 marks again and restores what is reached now. C5 deletes the rest. A writer publishes
// a reference first and then checks everything below it, so either the writer or the cycle always sees the other.
//
// Package mark defines the roots and what they reach.
//
// R3: absence of evidence means keep. A read error ends the cycle
// before anything is hidden, or restores everything that is hidden.
//
// A cycle also deletes the revisions whose deletion was requested through mark.Unreferenced, in the same phases, unless
// something reaches them meanwhile. It forgets the requests in both cases.
//
// Decision: a request waits for a cycle. Rejected: deleting the link at once, as a DELETE of a manifest does, because a
// client may push an index of the manifest by digest at that moment, which no tag shows; a separate cycle for each
// request, because it would mark the whole repository each time and, on a network file system, wait for minutes.
package collect
