// Package mention finds references to definitions in the parameter values of a template.
//
// Contract: [Mentions.Scan] accepts only whole ids as references. For a text that seems to refer
// to a definition but is not a whole id, [Mentions.Unread] returns the reason: nothing is guessed.
package mention
