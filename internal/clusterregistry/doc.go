// Package clusterregistry describes the registry that nfo ships, and proves the protocol by which it is collected.
//
// The package has no code. The packages below it are:
//
//   - layout names the files of a registry's directory, and reads what a manifest needs.
//   - volume reads, writes, hides and gives back files of the directory that all replicas share.
//   - storage is the driver by which distribution's registry writes to a volume that is collected at the same time.
//   - mark finds what no root of a volume reaches.
//   - collect deletes that while registries write.
//   - serve answers the requests of clients and of the operator.
//
// # Protocol
//
// A reference is a layer link, a revision link or a tag. Below a reference is everything that it needs: below a tag
// its revision, below a revision the manifest, its layers with their layer links, and its children. A file is young
// while it was written, given back or touched within the grace period. Each collection (a cycle) has a trash of its own.
//
// A registry that writes:
//
//   - W1 publishes the reference.
//   - W2 then looks at everything below it. It renames back what a cycle has hidden. If something is missing, the push
//     fails and the client repeats it. A push is acknowledged only after the look that follows its last reference, the
//     tag if it has one.
//   - W3 never deletes a reference because a push failed. Another push may rely on it.
//   - W4 renames back on every read, too, and answers 404 for a manifest unless everything below it is present.
//   - W5 makes the layer link young when it answers that a blob is present, before it looks at the blob. A client that
//     does not upload the blob therefore has the grace period to push the manifest.
//
// A collector:
//
//   - C0 gives back what other cycles have hidden. It deletes from another's trash only a file whose place was taken
//     when it gave the file back.
//   - C1 marks. Roots are tags, revisions (the young ones, or all but those whose deletion was asked for) and young
//     layer links. Other revisions, layer links and blobs are candidates if they are not young.
//   - C2 hides each candidate once, by a rename into its trash, and then reads its age. It gives back a young one at once.
//   - C3 waits until every replica sees what it has hidden.
//   - C4 marks again. Roots are tags, every present revision, and young layer links. A file that another cycle has
//     hidden is present: the mark reads the real paths, the other trashes, and the real paths once more. A manifest
//     that is at neither place keeps everything of its repository. The collector gives back what is marked.
//   - C5 deletes what is left in its own trash.
//
// Giving back never overwrites a file, and makes the file young. No step needs a lock, a clock that hosts share, or a
// database. Any number of registries and collectors may run, and each may be killed at any step.
//
// # Why it is right
//
// For each reference and each file below it, the registry publishes the reference and then looks at the file. The
// collector hides the file and then marks. If the mark sees the reference, it gives the file back. If it does not,
// the reference was published after the mark, and so after the file was hidden: the look finds it hidden, and renames
// it back or fails. A file is at one place at a time because a rename is atomic, so either the registry or the
// collector gets it, and the other one knows. On network file systems the wait of C3 is longer than what a host sees
// can be out of date, so that the order holds for what the hosts see.
//
// The tests of this package hold the protocol to that: they explore every order of the steps of pushers, readers,
// users and collectors, with and without a grace period, and require that every variant without one of the rules
// loses an acknowledged push. The model has one repository, one index with one child, one layer, and two collectors.
//
// # Invariants
//
// The names of tests begin with the invariant that they hold:
//
//   - R1 Deep presence: a manifest is present only if everything below it is, with the sizes that it names. With chosen
//     platforms, everything below an index of the mirror is its children of these platforms and what is below them.
//   - R2 No lost push: what was acknowledged can be read until nothing references it, whatever runs or is killed.
//   - R3 Absence of evidence means keep: what cannot be read ends the cycle before anything is hidden, or gives
//     everything back; a manifest that cannot be understood keeps everything of its repository.
//
// Decision: quarantine by rename and a look after publication. Rejected: a read-only window, because pushes must go
// on; age alone, because it loses slow pushes and old layers that are shared; locks and leases, because a process
// that is paused outlives them.
package clusterregistry
