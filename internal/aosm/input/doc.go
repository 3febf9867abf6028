// Package input finds the resources in the files of an import.
//
// Contract: [Read] reads the documents of all files within the bounds of one input, [Collect] finds their resources:
// in deployment templates, nested ones too, and in what the az command line and the REST API answer. The order of the files
// does not matter. What is not a resource of AOSM is reported.
package input
