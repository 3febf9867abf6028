// Package pass has what every pass over an object does alike.
//
// Contract: [Protect] and [Unprotect] put the finalizer on and take it off; [Conditions] collect what a pass says;
// [Announce] and [Tell] make events; [Classify] says what an error means for the pass, and [Finish] when it comes
// again. Nothing is ever terminal: on the way of a deletion that would strand the object. [Memory] drops what
// reconcilers remember of an object by its UID once the object is gone.
//
// Decision: what is remembered is dropped when the cache drops the object, and at the end of a pass whose object is gone.
// Rejected: to drop it where a pass lets the object go, for anybody who may change a finalizer can remove it without that.
package pass
