// Package publish pushes artifacts to where a manifest lists them, or images to where nodes find them in the mirror.
//
// Contract: [NewCommand] is `kubectl nfo publish`. It plans before it writes: which file, layout or image is which entry
// of the manifest, what is there already, what would be overwritten. Then it copies, with signatures and whatever else
// is attached, and verifies what it copied.
//
// Invariants held here:
//
//   - I1: a tag that is at another digest is overwritten only when that is asked for.
//   - Of what goes into the mirror, the Artifact that holds it is made before anything is pushed.
//
// Decision: nothing is followed out of what was named, and no login is sent unencrypted to a host that --plain-http
// does not name. Rejected: to trust files because they are local; publishers pass on what others gave them.
//
// Decision: an Artifact of an image that goes into the mirror, and that nothing has used, is deleted and made anew, so
// that its grace begins anew. Rejected: to write its status, which is the operator's alone.
package publish
