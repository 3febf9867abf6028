// Package program builds the product's programs for tests that run them.
//
// Decision: a program that is started with limits on its memory, as `nfo chart` is, is built without the race
// detector even in a test that has it. Rejected: raising the limits in such tests, because the detector
// needs several times the memory of what it watches, and what a test proves of the limits would then be
// true of other limits.
package program
