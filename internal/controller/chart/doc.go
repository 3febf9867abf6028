// Package chart reads the charts of ArtifactManifests.
//
// Contract: [Reconciler] reads a chart again when its digest, or how a definition deploys it, has changed, and writes
// nothing: the manifests' reconciler takes what was read from [Readings].
//
// Decision: a chart is read once for each combination of values paths that definitions set, and needs what it needs in any of
// them. Rejected: one reading with the paths of all, which shows neither what a definition with fewer paths needs nor, where
// paths of two clash, what the other one does.
//
// Decision: what was read of a chart is kept in the manifest's status, under its digest. Rejected: to
// keep it in memory, from which every new leader would read all charts again.
package chart
