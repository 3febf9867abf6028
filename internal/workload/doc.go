// Package workload says what the workloads of a cluster run, and would run again.
//
// Contract: [Reader.Read] lists, live, what the namespaces that a store selects use of that store: which image or
// chart, by which object, container or revision. [Reading.Holders] are those of a manifest, in the words of package
// reference. It keeps nothing between two readings, and watches nothing.
//
// Invariants:
//
//   - I14: what a selected source names is held by the object at the top: the Deployment of a pod, the release of a
//     Deployment. Scaled to zero, suspended, completed and terminated ones hold as well as running ones.
//   - I2: a source that cannot be read whole is Denied or Failed, and [Reading.Unreadable] says what is missing. A source is NotInstalled
//     only if the API server itself says that the CustomResourceDefinition does not exist, and has not been Read within a day.
//   - A reading costs what names the store: one object is in memory at a time, and one list is read at a time.
//
// Decision: objects are decoded into the few fields that name images. Rejected: the typed objects, of which a tenant can
// make pages of hundreds of megabytes; metadata alone, which names no image.
//
// Decision: nothing is cached and pods are not watched. Rejected: an index of images in the manager's cache, which takes
// gigabytes in a large cluster, and is empty for a moment whenever the manager starts.
//
// Decision: the holder is the object at the top, because that is what a person can delete. A pod that is
// down frees nothing as long as its Deployment is there.
package workload
