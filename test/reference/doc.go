// Package reference holds the pages of docs/reference/cli to the commands that they are about.
//
// Contract: [Pages] fails a test whose commands have other pages than the folder, pages too many and too few among
// them. With NFO_WRITE_REFERENCE set, as `make generate` does, it writes the pages instead.
//
// Decision: a test of each program writes them, because a command line is made in package main, and the programs ship
// without what writes Markdown. Rejected: a hidden command, which every user would carry.
package reference
