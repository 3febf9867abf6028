// Package controller puts the reconcilers together in one manager.
//
// Contract: [NewManager] makes a manager with every controller. There is one reconciler per kind, each in a folder of
// its own, all in one shape: protect (finalizer, and go on in the same pass) -> observe (reads only) -> decide (pure:
// same input, same verdict) -> act (the only external writes) -> report (the only status write, only if changed;
// events after it, on transitions only) -> unprotect (the finalizer off, last). A metadata patch overwrites status set
// in memory, hence that order. One status write comes before act: a deletion whose registry does not answer says so.
//
// The way of one delete, by function:
//
//	admission           ValidateDelete -> deletable (who holds it, by the cache; the first that still does is enough)
//	controller/manifest Reconcile -> observe -> decideManifest -> act, when its lane has a place
//	release             Release -> gather (evidence, read live) -> find -> Record (the Tombstone) -> prepare (the undo tag
//	                    where the store wants one) -> untag -> BeginGrace -> lateHolders; one that is there has all undone
//	controller/manifest afterDeleting -> report -> Unprotect (the finalizer off)
//	purge               Run -> plan, when the grace has ended -> sweep, in waves: claim -> evidence -> delete -> verify -> settle
//
// Package release is the way back, too.
//
// Beside that way: package chart reads charts, manifest/charts.go says where their images are, and package version
// what a definition comes to by them. Package store judges whether purges run. Package wake says whom an event
// concerns, and package pass has what every pass does alike.
//
// Decision: neither the cache nor a live list keeps what no decision reads, such as annotations of others and the
// certificates of stores (livelist). Rejected: bounds in the schema alone, for a thousand objects of an ordinary size
// can be large, too.
//
// Decision: the cache keeps the objects as their types have them, each with its texts in one piece of memory. A manifest of
// six artifacts with its definition takes about 8 KiB so, of which 5 KiB are the fields of the types themselves. Rejected:
// to keep them encoded and to decode them whenever they are read, which takes a third of that: one reader or event handler
// that is not given the decoded object would see nothing, and take that for nobody holding anything.
//
// Decision: charts are read by a controller that writes nothing and hands what it read to the manifests' one.
// Rejected: to read them in the pass over a manifest, which would keep deletions waiting; and a second
// writer of the same status, which would make the two run into each other's writes.
package controller
