// Package publish pushes artifacts to the repositories where a manifest lists
// them, or images into the mirror under the names by which nodes pull them.
//
// Contract: [NewCommand] is `kubectl nfo publish`. It plans before it writes: which file, layout or image
// is for which entry of the manifest, what the registry already has, and which tags would be overwritten.
// Then it copies the artifacts with their signatures and other satellites, and verifies what it copied.
//
// Invariants held here:
//
//   - I1: a tag that is at another digest is overwritten only if the user asks for that.
//   - The Artifact that holds an image in the mirror is created before anything of the image is pushed.
//
// Decision: the command reads no file outside of the sources that the command line names, and
// sends no login unencrypted, except to this machine and to the hosts of --plain-http. Rejected:
// trusting files because they are local. Publishers pass on files that others gave them.
//
// Decision: when an image is pushed into the mirror and its Artifact exists but is unused, the Artifact is deleted and
// created anew, so that its grace period starts anew. Rejected: resetting its status. Only the operator writes status.
package publish
