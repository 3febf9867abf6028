// Package nodefiles tells the container runtime of a node about the mirror, by the files that containerd and CRI-O read.
//
// Contract: [Apply] makes the files as they should be, and [Remove] removes them. Both may be repeated, and interrupted
// anywhere: each file is replaced by a rename, and one that leads to others is written last and removed first.
//
// What holds: only files that begin with [Header] are replaced or removed, and a folder of a registry in which anything
// else lies is left as it is and reported, because containerd reads the other files of a folder only as long as there is
// no hosts.toml. Nothing outside of the two folders is opened, whatever links are in them.
//
// With a mirror of the runtime a node that has lost the agent pulls from the origin: each file names it as the server.
//
// Decision: containerd's path of the mirror begins with the origin's host (override_path), as a reference in a pod does, so
// that one rule holds for both. Rejected: the query ns alone, which CRI-O does not send.
//
// Decision: whether the runtime reads the files is read from its configuration, and said where that is in doubt. Rejected:
// to set config_path, because that needs a restart of the runtime, and the file is the administrator's.
package nodefiles
