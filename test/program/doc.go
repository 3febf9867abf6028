// Package program builds the product's programs for tests that run them.
//
// Decision: a program that runs with memory limits, such as `nfo chart`, is built without the race detector
// even in a test binary that has it. Rejected: higher limits in such tests, because the race detector needs
// several times the program's memory, and the test would then not check the limits that users have.
package program
