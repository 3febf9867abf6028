// Package serve answers the requests of clients of the registry that nfo ships.
//
// Contract: [Registry.Handler] is distribution's registry on one volume, with what that has not: a list of referrers, a
// limit of requests at a time, an answer 507 to uploads while the volume is almost full, and usage and collection for
// the operator below /nfo/v1/. Any number of processes may serve one volume, if they have the same secret. What one of
// them knows of a collection is on the volume, so that each can be asked.
//
// A volume that does not answer makes the process unready, and no request of Kubernetes' probes waits for it: a probe
// of the volume runs by itself, one at a time. A volume that answers but is full or read-only leaves the process ready:
// pulls go on, and so do deletions and collections where they make room. A metric and the log say so.
//
// Decision: the guard of the disk stands before distribution, which would answer 500 to whatever its storage says.
// Manifests and deletes pass it: they are small, and a disk is freed by them.
package serve
