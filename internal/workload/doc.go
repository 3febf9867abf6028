// Package workload reads which images and charts the workloads of a cluster run, or would run again.
//
// Contract: [Reader.Read] lists, live, what the workloads in the selected namespaces use of a store: the image or chart,
// and the object, container or revision that uses it. [Reading.Holders] returns the holders of a manifest. [Reader.ReadImages]
// lists the images that the workloads of all namespaces use. Between two readings a Reader keeps only the results of
// immutable release records.
//
// Invariants:
//
//   - I14: what a selected source references is held by the top-level owner: the Deployment of a pod, or the owner of a
//     Deployment. Objects that are scaled to zero, suspended, completed or terminating hold as well as running ones.
//   - I2: a source that cannot be read completely is Denied or Failed, and [Reading.Unreadable] says what is missing. A
//     source is NotInstalled only if the API server itself says that its CustomResourceDefinitions do not exist, and the
//     source was not Read within the last day.
//   - I2: the store's status has the UID of each CustomResourceDefinition that was seen. The source is Failed while one of
//     them is missing for less than a day, or was created anew less than a day ago without the annotation
//     nfo.dev/objects-restored.
//   - I2: a release record or object that cannot be decoded makes its source Failed. The message names the object and says
//     what to do. The annotation nfo.dev/ignore excludes a release record.
//   - The memory of a reading depends on the references to the store: one object of each list is in memory at a time, and
//     at most 4 lists are read at the same time. At most 10 MiB of release records wait to be decoded, and the remembered
//     results take at most 16 MiB.
//   - One tenant cannot make the uses of others less exact: if there are too many uses, those of the namespace with the
//     most become one use for each repository, which holds the whole repository. The stores of a namespace share the
//     memory for their readings.
//   - A reading by [Known] waits at most a minute for its turn and then takes at most a minute. A source that was not
//     reached in time is Failed, and its message says so.
//
// Decision: objects are decoded into the few fields that contain image references. Rejected: the typed objects, because a
// tenant can create pages of hundreds of megabytes; metadata alone, because it contains no image references.
//
// Decision: pods are not watched. Rejected: an index of images in the manager's cache, because it takes gigabytes in a
// large cluster, and is empty for a moment whenever the manager starts.
//
// Decision: release records are hostile input, and a [ReleaseReader] decodes them in a confined process. They are listed
// in pages of 8 and decoded between two pages, because the API server ends a response that is not read for a minute.
// Rejected: to decode them in this process, because neither decompression nor YAML can be bounded.
//
// Decision: the result of a record is remembered by the UID and the resource version of its Secret. This includes records
// that cannot be decoded, and the results of a reading that then fails, so that a retry after an interruption gets further.
//
// Decision: an image at MIRROR/HOST/REPOSITORY, which is how nfo's mirror names a copy, counts as an image of the store at
// HOST, whatever MIRROR is. Rejected: to accept the mirror's address only, because purges do not know it, and because a
// pod keeps the old address when the mirror moves or is disabled. The only effect of a wrong match is that an image is kept.
//
// Decision: a chart in Flux or Argo CD is used by its version as well as by its digest, and also by the version without
// the part after the +, which Flux adds after the pull. A HelmRelease of Flux does not say where its chart is, so it uses
// every chart with that name and version. Rejected: to follow its references to other objects, because these may be in
// namespaces that are not selected, and may already refer to the next version. Charts in Git, in buckets and in
// repositories with an index are ignored, because they are in no registry.
//
// Decision: the holder is the top-level owner, because that is the object that a person can delete.
package workload
