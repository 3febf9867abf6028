// Package nodefiles configures the container runtime of a node for the mirror, with files that containerd and CRI-O read.
//
// Contract: [Apply] brings the files into the desired state, and [Remove] removes them. Both can be repeated, and
// interrupted anywhere: each file is replaced by a rename, and a file that references others is written last and removed
// first.
//
// Invariants held here: only files that begin with [Header] are replaced or removed. If a registry's folder has any other
// file, the folder is left unchanged and reported, because containerd reads the other files of a folder only if there is no
// hosts.toml. Nothing outside of the two folders is opened, whatever links are in them.
//
// If the runtime uses the agent as a mirror, a node without a working agent pulls from the origin: each file has the origin
// as its server.
//
// Decision: containerd's path for the mirror begins with the origin's host (override_path), as a reference in a pod does, so
// that one rule is enough for both. Rejected: the query ns alone, because CRI-O does not send it.
//
// Decision: whether the runtime reads the files is determined from its configuration, and reported if it may not. Rejected:
// to set config_path, because that needs a restart of the runtime, and the file belongs to the administrator.
package nodefiles
