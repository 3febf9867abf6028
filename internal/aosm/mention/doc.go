// Package mention finds the definitions that the values of a template name.
//
// Contract: [Mentions.Scan] takes whole ids alone for names. A text that seems to name a definition and is not a whole id is
// the reason that [Mentions.Unread] returns: nothing is guessed.
package mention
