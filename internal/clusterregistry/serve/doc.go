// Package serve answers the clients of the registry that nfo ships.
//
// Contract: [Registry.Handler] is distribution's registry on one volume, with what distribution lacks: lists of
// referrers, a limit of concurrent requests, the answer 507 to uploads while the volume is almost full, and usage and
// collection for the operator below /nfo/v1/. Any number of processes with the same secret may serve one volume. The
// state of collections is stored on the volume, so that every process can report it.
//
// A volume that does not answer makes the process unready. Kubernetes' probes do not wait for the volume: a separate
// goroutine probes it, one probe at a time. A volume that answers but is full or read-only leaves the process ready:
// pulls continue, and so do deletions and collections if they free space. A metric and the log report this state.
//
// Decision: the disk guard runs before distribution, which would answer 500 to every error of its storage. Manifests
// and deletes pass the guard: manifests are small, and deletes free the disk.
package serve
