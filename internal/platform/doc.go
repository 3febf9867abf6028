// Package platform chooses which children of an image index are mirrored.
//
// Contract: a [List] is the chart's value mirror.platforms. [List.Choose] is pure: it reads the bytes of one
// index and returns which of its children belong to the copy. The manager copies these, and the registry serves an
// index of the mirror if these exist. Both call Choose, so that a copy that is complete for one is complete for the
// other. A child whose platform is unclear is chosen.
//
// Decision: a child without a platform is chosen, unless it is an attestation of a child that is not chosen. Rejected: to
// leave out every child without a platform, because artifacts, and images of old tools, have none.
//
// Decision: of an index in which no child is of a listed platform, all children are chosen. The mirror refuses to copy such
// an index, and the registry serves it only if all of it was pushed. Rejected: to require no child, because the registry
// would then serve an index of which it has nothing.
package platform
