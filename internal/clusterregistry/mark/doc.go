// Package mark finds the files of a volume that cannot be reached from any root.
//
// Contract: a [Mark] reads all repositories while writers and cycles change them, and neither
// hides nor deletes anything. The first mark of a cycle makes a [Plan] of everything that is
// unreached and older than the grace period; the second mark finds what of that plan is reached
// now. The package knows the volume and its layout; it knows no cluster, no HTTP and no registry.
//
// The roots are tags, revisions and young layer links. A revision that is not young is not a root if its deletion was
// requested, or if the mark keeps only tagged manifests. A revision reaches its blob, the layer links and blobs of its
// config and layers, its children if it is an index, and the revisions that have it as their subject.
//
// R3: absence of evidence means keep. A read error ends the mark with an error. A repository with a manifest that is
// missing or cannot be understood keeps all its revisions and layers.
//
// [Unreferenced] lists the revisions that nothing on the volume references, for a caller that knows what else needs
// them, and accepts requests to delete some of them. A request is a file beside the tree, which the next cycle reads. A
// request is void if it is not younger than the revision's link, because the revision was then pushed again. It is also
// void after some minutes, because something outside the volume may need the revision by that time.
//
// Decision: an entry in a list of referrers is unreached only if its own manifest
// is not a kept revision. Rejected: treating it as unreached if its subject is
// missing, because a client may push the manifest first and its subject later.
//
// Decision: the second mark reads files that can move between their place and a trash in both, and then in their place
// again, because another cycle can hide a file and restore it between two reads.
package mark
