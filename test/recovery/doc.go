// Package recovery tests what happens when the API server's objects are lost, hidden, replaced,
// restored or moved: custom resource definitions, objects, their status, and lists that are wrong.
//
// Contract: each test creates one publisher (publisher_test.go), does something to the
// objects, and then continues the publisher's normal work. What is in use is complete,
// what was released can be restored, and what nothing needs is deleted in the end.
//
// Decision: a separate package, because deleting a CustomResourceDefinition needs an API server that
// no other test uses. Rejected: an API server for each test, because each takes ten seconds to start.
package recovery
