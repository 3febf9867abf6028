// Package pass has what every pass over an object does alike.
//
// Contract: [Protect] and [Unprotect] put the finalizer on and take it off; [Conditions] collect what a pass says;
// [Announce] and [Tell] make events; [Classify] says what an error means for the pass, and [Finish] when it comes
// again. Nothing is ever terminal: on the way of a deletion that would strand the object.
package pass
