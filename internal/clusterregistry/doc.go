// Package clusterregistry describes the registry that nfo ships, and tests its garbage collection protocol.
//
// The package has no code. The packages below it are:
//
//   - layout defines the paths of the files in a registry's directory, and reads which content a manifest references.
//   - volume reads, writes, hides and restores files of the directory that all replicas share.
//   - storage is the driver through which distribution's registry writes to a volume while a collection runs.
//   - mark finds the files of a volume that cannot be reached from any root.
//   - collect deletes these files while registries write.
//   - serve answers the requests of clients and of the operator.
//
// # Protocol
//
// A reference is a layer link, a revision link or a tag. Below a reference is everything that it needs: below a tag its
// revision, below a revision the manifest, its layers with their layer links, and its children. A file is young if it
// was written, restored or touched within the grace period. Each collection (a cycle) has its own trash.
//
// A registry that writes:
//
//   - W1 publishes the reference.
//   - W2 then checks everything below the reference. It renames back what a cycle has hidden. If something is missing,
//     the push fails and the client repeats it. A push is acknowledged only after the check that follows its last
//     reference (the tag, if the push has one).
//   - W3 never deletes a reference because a push failed. Another push may rely on the reference.
//   - W4 also renames back on every read, and answers 404 for a manifest unless everything below it is present.
//   - W5 makes the layer link young when it answers that a blob is present, before it checks the blob. A client that
//     skips the upload therefore has the grace period to push the manifest.
//
// A collector:
//
//   - C0 restores what other cycles have hidden. It deletes a file from another cycle's trash only if another file was
//     in its place when C0 tried to restore it.
//   - C1 marks. Roots are tags, revisions (only the young ones, or all except those whose deletion was requested) and
//     young layer links. Other revisions, layer links and blobs are candidates if they are not young.
//   - C2 hides each candidate once, by a rename into its own trash,
//     and then reads the file's age. It restores a young file at once.
//   - C3 waits until every replica sees what the cycle has hidden.
//   - C4 marks again. Roots are tags, every present revision, and young layer links. A file
//     that another cycle has hidden counts as present: the mark reads the real path, the
//     other trashes, and the real path again. A manifest that is in none of these places
//     keeps everything of its repository. The collector restores the files that are marked.
//   - C5 deletes the remaining files in its own trash.
//
// Restoring never overwrites a file, and makes the file young. No step needs a lock, a clock that hosts share, or a
// database. Any number of registries and collectors may run, and each may be killed at any step.
//
// # Why it is correct
//
// For each reference and each file below it, the registry publishes the reference and then checks the file. The
// collector hides the file and then marks. If the mark sees the reference, the collector restores the file. If it does
// not, the reference was published after the mark, and so after the file was hidden: the registry's check finds the
// file hidden, and renames it back or fails. A rename is atomic, so a file is in one place at a time: either the
// registry or the collector gets the file, and the other one can tell. On network file systems a host can see an
// outdated state. The wait of C3 is longer than that state can last, so the order also holds for what the hosts see.
//
// The tests of this package verify the protocol with a model: they explore every order of
// the steps of pushers, readers, users and collectors, with and without a grace period,
// and require that every variant that lacks one of the rules loses an acknowledged push.
// The model has one repository, one index with one child, one layer, and two collectors.
//
// # Invariants
//
// The names of tests begin with the invariant that they test:
//
//   - R1 Deep presence: a manifest is present only if everything below it is present with
//     the sizes that the manifest states. If platforms are chosen, only the children for
//     these platforms, and what is below them, count as below an index of the mirror.
//   - R2 No lost push: acknowledged content can be read until nothing references it, whatever runs or is killed.
//   - R3 Absence of evidence means keep: a read error ends the cycle before anything is hidden, or restores everything
//     that is hidden. A manifest that cannot be understood keeps everything of its repository.
//
// Decision: the collector quarantines by rename, and the registry checks after publication. Rejected: a read-only
// window, because pushes must continue; age alone, because it loses slow pushes and old layers that are shared; locks
// and leases, because a paused process can outlive them.
package clusterregistry
