// Package reference keeps the pages in docs/reference/cli in step with the programs' commands.
//
// Contract: [Pages] fails a test if the folder's pages differ from those generated from the commands, or if a
// page is missing or left over. With NFO_WRITE_REFERENCE set, as in `make generate`, it writes the pages first.
//
// Decision: a test of each program writes the pages, because the command line is built
// in package main and the released programs do not contain the Markdown generator.
// Rejected: a hidden command, because every user would then download the generator.
package reference
