// Package chart reads the charts of ArtifactManifests.
//
// Contract: [Reconciler] reads a chart again when its digest has changed, or the way in which a
// definition deploys it. It writes nothing: the manifest reconciler takes the readings from [Readings].
//
// Decision: a chart is read once for each combination of values paths that definitions set, and needs the images
// of all these readings. Rejected: one reading with the paths of all definitions, which shows neither what a
// definition with fewer paths needs nor, if the paths of two definitions clash, what the second one needs.
//
// Decision: the reading of a chart is kept in the manifest's status, under the chart's digest.
// Rejected: keeping it in memory, because every new leader would read all charts again.
package chart
