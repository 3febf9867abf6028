// Package mark finds what no root of a volume reaches.
//
// Contract: a [Mark] reads all repositories as they are while writers and cycles change them, and hides and deletes nothing.
// The first mark of a cycle makes a [Plan] of all that is unreached and older than the grace period; the second finds what of
// that plan is reached now. The package knows the volume and its layout; it knows no cluster, no HTTP and no registry.
//
// The roots are tags, revisions, and layer links that are young. A revision that is not young is not a root if its deletion
// was asked for, nor in a mark that keeps nothing untagged. A revision reaches its blob, the layer links and blobs of its
// config and layers, its children if it is an index, and the revisions whose subject it is.
//
// R3: absence of evidence means keep. What cannot be read ends the mark with an error. A repository with a manifest that is
// missing or cannot be understood keeps all its revisions and layers.
//
// [Unreferenced] lists the revisions that nothing on the volume references, for somebody who knows what else needs them, and
// takes requests to delete some. A request is a file beside the tree, which the next cycle reads. A request that is not
// younger than the revision's link does not count: the revision was pushed again. Nor does one that is older than some
// minutes: something outside may need the revision by then.
//
// Decision: an entry of a list of referrers is unreached only if its own manifest is not a kept revision. Rejected: also
// if its subject is missing, because a client may push the manifest first and its subject later.
//
// Decision: what moves between its place and a trash during the second mark is read at both, and its place once more,
// because another cycle can hide a file and give it back between two looks.
package mark
