// Package pass has what the passes over all kinds share.
//
// Contract: [Protect] adds the finalizer and [Released.Unprotect] removes it; [Conditions] collect the conditions
// that a pass sets; [Announce] and [Tell] make events; [Classify] says what an error means for the pass, and
// [Finish] when the pass is repeated. No error is ever terminal, because that would strand an object whose
// deletion waits. [Memory] drops what reconcilers remember of an object by its UID once the object is gone.
//
// Decision: memory of an object is dropped when the cache drops the object, and at the end
// of a pass whose object is gone. Rejected: dropping it where a pass releases the object,
// because anybody who may change finalizers can remove the finalizer without such a pass.
package pass
