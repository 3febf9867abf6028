// Package collect removes from a volume what no root reaches, while registries write to it.
//
// Contract: Run is one cycle. A cycle may run at the same time as any number of writers, readers and other cycles, and
// may be killed at any step: nothing that a root reaches is lost, and the next cycle goes on from what it finds. The
// package knows the volume and its layout; it knows no cluster, no HTTP and no registry.
//
// A cycle has six phases. C0 gives back what earlier cycles left in the trash. C1 marks what roots reach; what is not
// marked and is older than Options.Grace is a candidate. C2 hides the candidates: a rename of the file, never of a
// folder. C3 waits. C4 marks once more and gives back what is reached now. C5 deletes the rest. A writer publishes a
// reference first and then looks for everything below it, so one of the two sides always sees the other.
//
// What the roots are and reach, package mark says.
//
// R3: absence of evidence means keep. What cannot be read ends the cycle before anything is hidden, or gives everything
// back.
//
// A cycle also deletes the revisions whose deletion mark.Unreferenced was asked for, by the same phases, unless something
// reaches them by then. It forgets the requests in any case.
//
// Decision: a request waits for a cycle. Rejected: to delete the link at once, as a DELETE of a manifest does, because
// somebody may push an index of it by digest at that moment, which no tag shows; and a cycle of its own for each
// request, which would mark the whole repository each time and, on a network file system, wait for minutes.
package collect
