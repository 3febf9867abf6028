// Package render executes the templates of a Helm chart file by file.
//
// Contract: what Helm renders, [Chart] renders to the letter, but for the notes; where Helm stops at the first file that
// fails, Chart reports it in Helm's words and goes on. Templates can take any time and memory, and end the process.
//
// Helm exports neither the functions of its engine nor the files that templates see, so that both are here again
// (functions.go, files.go). A test of package chart compares with Helm on all its charts.
package render
