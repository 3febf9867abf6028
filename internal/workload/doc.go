// Package workload says what the workloads of a cluster run, and would run again.
//
// Contract: [Reader.Read] lists, live, what the namespaces that a store selects use of that store: which image or
// chart, by which object, container or revision. [Reading.Holders] are those of a manifest, in the words of package
// reference. [Reader.ReadImages] lists which images all namespaces use, for the mirror. Between two readings it keeps
// only which images immutable release records name, and it watches nothing.
//
// Invariants:
//
//   - I14: what a selected source names is held by the object at the top: the Deployment of a pod, the release of a
//     Deployment. Scaled to zero, suspended, completed and terminated ones hold as well as running ones.
//   - I2: a source that cannot be read whole is Denied or Failed, and [Reading.Unreadable] says what is missing. A
//     source is NotInstalled only if the API server itself says that the CustomResourceDefinitions do not exist, and
//     has not been Read within a day.
//   - I2: the store's status has the UID of each CustomResourceDefinition that was seen. While one is missing, or another
//     one of its name is younger than a day and without the annotation nfo.dev/objects-restored, the source is Failed.
//   - I2: a release record or object that cannot be decoded makes its source Failed, and the message names it and says
//     what to do. The annotation nfo.dev/ignore excludes a release record.
//   - A reading costs what names the store: one object is in memory at a time, and one list is read at a time. Of
//     release records at most 10 MiB wait to be decoded, and what is remembered of them has at most 16 MiB.
//   - No tenant keeps others from being told apart: where uses are too many, those of the namespace that has most become
//     one use of each repository, which holds all of it. The stores of a namespace share what is kept of their readings.
//   - A [Known] reading waits at most a minute for its turn and takes at most one. A source for which no time was left is
//     Failed, and says so.
//
// Decision: objects are decoded into the few fields that name images. Rejected: the typed objects, of which a tenant can
// make pages of hundreds of megabytes; metadata alone, which names no image.
//
// Decision: nothing is cached and pods are not watched. Rejected: an index of images in the manager's cache, which takes
// gigabytes in a large cluster, and is empty for a moment whenever the manager starts.
//
// Decision: release records are hostile, and a [ReleaseReader] decodes them in a confined process. They are listed 8 at a
// time and decoded between two answers, for the API server ends an answer that is not read for a minute. Rejected: to
// decode them here, for neither decompression nor YAML can be bounded; larger pages, which cost 1 MiB for each Secret.
//
// Decision: the result of a record is remembered by the UID and the resource version of its Secret, also that it cannot
// be decoded, and also when the reading then fails, so that a reading that was interrupted gets further the next time.
//
// Decision: an image at MIRROR/HOST/REPOSITORY, such as one that nfo's mirror was asked for, is an image of the store at
// HOST, whatever MIRROR is. Rejected: to look for the mirror's address alone, which purges do not know, and which is
// another one than a pod was made with once the mirror has changed or is disabled. What is wrongly counted is only kept.
//
// Decision: of a chart in Flux or Argo CD its version is a use beside its digest, also without what follows the +, which
// Flux adds after the pull. A release of Flux does not say where its chart is: it uses every chart of that name and version.
// Rejected: to follow its references to other objects, which may be in namespaces that are not selected, and already
// refer to the next version.
//
// Decision: of both, charts in Git, in buckets and in repositories with an index are left out: they are in no registry.
//
// Decision: the holder is the object at the top, because that is what a person can delete. A pod that is
// down frees nothing as long as its Deployment is there.
package workload
