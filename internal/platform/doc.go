// Package platform chooses which children of an image index are mirrored.
//
// Contract: a [List] is what the chart's value mirror.platforms says. [List.Choose] is pure: it reads the bytes of one
// index and says which of its children belong to the copy. The manager copies these, and the registry answers for an
// index of the mirror if these are there. Both call Choose, so that a copy which is complete for one is complete for the
// other. What is unclear is chosen.
//
// Decision: a child without a platform is chosen, unless it is an attestation of a child that is not. Rejected: to leave
// out what has no platform, because artifacts, and images of old tools, have none.
//
// Decision: an index in which no child is of a listed platform is chosen whole. The copy refuses it, and the registry
// answers for it only if somebody has pushed all of it. Rejected: to require nothing of it, because the registry would
// then answer for an index of which it has nothing.
package platform
