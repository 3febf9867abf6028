// Package plugin has what the commands of kubectl nfo share.
//
// Contract: [Error] is how a command ends the program with a code of its own, [Connect] how it reaches the cluster that
// kubectl's flags name, and [ParseImage] how it reads an image that a person writes. What goes to a terminal goes
// through package terminal.
package plugin
