// Package chart reads Helm charts: their metadata, their dependencies and the images that they reference.
//
// Contract: a [Reader] gets the bytes of a chart and how definitions deploy it. For each image it returns whether the image
// follows the registry that the operator sets, whether the chart is deployed without the image, and where it is referenced.
// [Reader.ReadReleases] returns the images in the records that Helm keeps of releases. Only this package and package render
// below it import Helm; package record, also below it, has the types of the records without Helm.
//
// Invariants:
//
//   - I2: a chart that could not be read completely gives an error in addition to what was read. If only optional images
//     can be missing, the chart gives a remark instead.
//   - A file that fails does not hide the images of other files. Failures in notes, tests and disabled dependencies do not
//     make the reading incomplete.
//   - A chart costs the manager no more than one process, bounded in time and memory, without files or network.
//   - I2: a release record that cannot be read completely has its own error, and gives no images.
//   - The same bytes give the same result: an interruption by the machine is not an error about the chart.
//
// Decision: a chart needs the images that it renders with its default values and the registry set, as the operator deploys
// it, hooks included. Images of dependencies that are disabled by condition or tags, images of `helm test`, and images in
// values that no template uses are optional. Rejected: to evaluate values alone, because that misses references that
// templates assemble.
//
// Decision: the registry is set to a placeholder that exists nowhere else. Each reference to it in a rendered text is
// therefore an image of the store: in arguments, variables, files and annotations. Rejected: to search for possible
// references in texts that do not follow the registry, because about as many of them are not references.
//
// Decision: templates are executed one by one, by a copy of Helm's engine (package render), because Helm's engine stops at
// the first template that fails. A test compares both on all charts of testdata. Rejected: to render with Helm repeatedly,
// each time without one more failing file.
//
// Decision: templates are rendered in a separate process. Rejected: to render them in the manager with a deadline, because
// a template cannot be stopped, takes memory without bound, and can end the process by a recursion from which Go cannot
// recover.
//
// Decision: in a release record, all references with a host and a tag or digest count, in any text. What Helm applied
// references real registries, and a text that is not an image only keeps an artifact that exists. Rejected: containers
// alone, because that misses the images that an operator gets as arguments.
//
// Decision: one process reads many release records. Rejected: a process for each record, because the process costs more
// processor time than the record.
//
// Decision: the limits for a chart are processor time and live data. Rejected: a deadline and a bound of mapped memory
// alone, because these depend on how busy the machine is and on when garbage is collected.
package chart
