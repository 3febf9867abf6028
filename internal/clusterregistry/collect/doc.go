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
// The roots are tags, revisions, and layer links that are young. A revision that is not young is not a root if its deletion
// was asked for, and with Options.Untagged none is. A revision reaches its blob, the layer links and blobs of its config
// and layers, its children if it is an index, and the revisions whose subject it is.
//
// R3: absence of evidence means keep. What cannot be read ends the cycle before anything is hidden, or gives everything
// back. A repository with a manifest that is missing or cannot be understood keeps all its revisions and layers.
//
// Unreferenced lists the revisions that nothing on the volume references, for somebody who knows what else needs them, and
// takes requests to delete some. A request is a file beside the tree. The next cycle deletes the revision by the same
// phases, unless something reaches it by then, and forgets the request in any case. A request that is not younger than
// the revision's link does not count: the revision was pushed again. Nor does one that is older than some minutes:
// something outside may need the revision by then.
//
// Decision: a request waits for a cycle. Rejected: to delete the link at once, as a DELETE of a manifest does, because
// somebody may push an index of it by digest at that moment, which no tag shows; and a cycle of its own for each
// request, which would mark the whole repository each time and, on a network file system, wait for minutes.
//
// Decision: an entry of a list of referrers is a candidate only if its own manifest is not a kept revision. Rejected: also
// if its subject is missing, because a client may push the manifest first and its subject later.
//
// Decision: what moves between its place and a trash during the second mark is read at both, and its place once more,
// because another cycle can hide a file and give it back between two looks.
package collect
