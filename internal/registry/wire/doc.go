// Package wire sends requests to the registry of one store.
//
// Contract: a [Client] logs in, sends a [Request] again where that is safe, and bounds every answer that it reads. It sends
// nothing outside its prefix (I9), and connects to no address that its configuration refuses. Errors wrap one of the
// sentinels of package failure and repeat no secret; the HTTP detail stays reachable with errors.As and
// *errcode.ErrorResponse.
//
// Invariant (I2): absence.go is the one rule for which answers prove that something does not exist. A page of HTML is not the
// registry's word, whatever its status.
//
// What a registry answers costs a small, fixed multiple of its bytes: all clients with the same [Budget] share what is read
// and decoded at a time. A body that takes more than a minute gives its share back.
package wire
