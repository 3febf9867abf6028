// Package controller puts the reconcilers together in one manager.
//
// Contract: [NewManager] makes a manager with every controller. There is one reconciler per kind, each in its
// own folder, all in one shape: protect (add the finalizer, and continue in the same pass) -> observe (reads
// only) -> decide (pure: same input, same verdict) -> act (the only external writes) -> report (the only status
// write, only if the status changed; events follow it, on transitions only) -> unprotect (remove the finalizer,
// last). No metadata is patched between setting the status in memory and writing it, because the answer to the patch
// would overwrite that status. One status write comes before act: that of a deletion whose registry does not answer.
//
// The path of one deletion, by function:
//
//	admission           ValidateDelete -> deletable (its holders, by the cache; stops at the first that still holds it)
//	controller/manifest Reconcile -> observe -> decideManifest -> act, when its lane has a place
//	release             Release -> gather (evidence, read live) -> find -> Record (the Tombstone) -> prepare (the undo tag
//	                    where the store wants one) -> untag -> BeginGrace -> lateHolders; if it finds one, all is restored
//	controller/manifest afterDeleting -> report -> Unprotect (remove the finalizer)
//	purge               Run -> plan, when the grace has ended -> sweep, in waves: claim -> evidence -> delete -> verify -> settle
//
// Package release also restores.
//
// The other packages serve this path: package chart reads charts, manifest/charts.go reports where their images are,
// and package version reports which artifacts a definition deploys according to its charts. Package store reports
// whether purges run. Package wake maps events to the objects they concern, and package pass has what all passes share.
//
// Decision: neither the cache nor a live list keeps data that no decision reads, such as annotations of
// other tools and the certificates of stores (livelist). Rejected: limiting sizes only in the schema,
// because a thousand objects of ordinary size can be large, too.
//
// Decision: the cache keeps objects as Go structs, with all strings of an object in one piece of memory. A manifest of
// six artifacts with its definition takes about 8 KiB this way, of which 5 KiB are the struct fields themselves.
// Rejected: keeping objects encoded and decoding them on every read, which takes a third of that memory. A reader or
// event handler that is not given the decoded object would see an empty one, and conclude that nothing holds anything.
//
// Decision: a controller that writes nothing reads the charts, and hands the readings to the manifest
// controller. Rejected: reading charts in the pass over a manifest, which would delay deletions.
// Rejected: a second writer of the same status, because the two writers would conflict with each other.
package controller
