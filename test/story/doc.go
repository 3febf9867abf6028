// Package story tells what the product does in sentences, each with the commands that show it and
// what these have to say. The demo and the end-to-end tests are such stories.
//
// Contract: a command is run by bash as it is printed, and a chapter has gone well only if every
// command of it did as expected.
//
// Decision: commands as a person types them, so that a story is also documentation that cannot be
// wrong. Rejected: a client library, with which a test would prove what nobody does.
package story
