// Package story describes the product in chapters. Each chapter is a sentence, the commands that demonstrate
// it and the expected output of these commands. The demo and the end-to-end tests are such stories.
//
// Contract: bash runs each command exactly as it is printed. A
// chapter succeeds only if every command in it did what was expected.
//
// Decision: a story contains commands as a person types them, so that the story is also documentation that
// is tested. Rejected: a client library, because the tests would then check calls that no user makes.
package story
