// Package plugin has what the commands of kubectl nfo have in common.
//
// Contract: [Error] ends the program with an exit code, [Connect] connects to the cluster of kubectl's flags, and
// [ParseImage] parses an image on the command line. Output for a terminal is written through package terminal.
package plugin
