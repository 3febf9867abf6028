// Package render executes the templates of a Helm chart file by file.
//
// Contract: [Chart] renders the same text as Helm, except for the notes. Helm stops at the first file that fails; Chart
// reports the failure in Helm's words and continues. Templates can take any time and memory, and end the process.
//
// Helm exports neither the functions of its engine nor the type of the files that templates see, so this package has
// copies (functions.go, files.go). A test of package chart compares the package with Helm on all its charts.
package render
