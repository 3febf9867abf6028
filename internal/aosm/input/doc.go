// Package input finds the resources in the files of an import.
//
// Contract: [Read] parses the documents of all files within the bounds of one input. [Collect]
// finds their resources: in deployment templates, also nested ones, and in the output of az and the
// REST API. The order of the files does not matter. What is not a resource of AOSM is reported.
package input
