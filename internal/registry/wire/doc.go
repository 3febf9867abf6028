// Package wire sends requests to the registry of one store.
//
// Contract: a [Client] logs in, repeats a [Request] where that is safe, and bounds every answer
// that it reads. It sends no request for a repository outside its prefix (I9), and connects to no
// address that its configuration refuses. Errors wrap one of the sentinels of package failure and
// contain no secret; the HTTP detail stays reachable with errors.As and *errcode.ErrorResponse.
//
// Invariant (I2): absence.go alone decides which answers prove that something does not
// exist. An HTML page is never taken for an answer of the registry, whatever its status.
//
// Reading an answer takes a small, fixed multiple of its size in memory: all clients with the
// same [Budget] share a bound on the bytes that are read and decoded at the same time. The
// client gives up on a body that takes more than a minute, and returns its share of the budget.
package wire
