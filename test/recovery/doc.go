// Package recovery tests what happens when the API server's objects are lost, hidden, replaced, restored or
// moved: custom resource definitions, objects, their status, and lists that are wrong.
//
// Contract: each test sets one publisher up (publisher_test.go), does something to the objects, and then
// has life go on: what is in use is whole, what was released can be undone, and what nothing keeps goes in
// the end.
//
// Decision: a package of its own, because to delete a CustomResourceDefinition needs an API server that no
// other test uses. Rejected: to give each test its own, which costs ten seconds each.
package recovery
