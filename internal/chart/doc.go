// Package chart reads Helm charts: their metadata, their dependencies and the images that they name.
//
// Contract: a [Reader] takes the bytes of a chart and how definitions deploy it, and returns each image with
// whether it follows the registry that the operator sets, whether the chart is deployed without it, and where it is
// named. [Reader.ReadReleases] returns the images of the records that Helm keeps of releases. It and render, below it,
// are the only packages that import Helm; package record, below it too, has the types of the records without Helm.
//
// Invariants:
//
//   - I2: a chart of which not all could be read is an error beside what was read. Images that only the error
//     could hide and that are not needed are a remark.
//   - A file that fails hides nothing of the others; notes, tests and what is switched off spoil nothing.
//   - A chart costs nobody more than one process, bounded in time and memory, without files or network.
//   - I2: a release record that cannot be read whole is an error of its own, and gives no images.
//   - The same bytes give the same answer: what the machine does to a reading is not an error about the chart.
//
// Decision: a chart needs what it renders with its default values and the registry set, as
// the operator deploys it, hooks included. Images of dependencies that condition or tags switch off, of `helm test`
// and of values that no template uses are optional. Rejected: to evaluate values alone, which misses what templates
// put together.
//
// Decision: the registry that is set exists nowhere else, so each reference to it in a rendered text is an image of
// the store: in arguments, variables, files and annotations. Rejected: to search for what looks like a reference in
// texts that do not follow the registry, which finds as much that is not one.
//
// Decision: templates are executed one by one, by a copy of Helm's engine (package render), which stops at the first
// one that fails; a test compares both on all charts of testdata. Rejected: to render with Helm again and again,
// without one failing file more each time.
//
// Decision: templates are rendered in a process of their own. Rejected: to render them in the manager
// under a deadline, for a template cannot be stopped, takes memory without bound, and can end the process
// by a recursion that Go does not let anybody recover from.
//
// Decision: of a release record all references with a host and a tag or digest count, in any text: what Helm applied
// names real registries, and who keeps a text that is not an image keeps only what exists. Rejected: containers alone, which
// misses the images that an operator gets as arguments.
//
// Decision: many release records are read in one process. Rejected: a process for each, which costs more processor
// time than the records.
//
// Decision: processor time and live data decide whether a chart is read. Rejected: a deadline and a bound of mapped
// memory alone, which depend on how busy the machine is and on when garbage is collected.
package chart
