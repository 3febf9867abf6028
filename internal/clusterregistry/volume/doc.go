// Package volume accesses the directory on a file system that all replicas of the registry share.
//
// Contract: a path begins with a slash, which is the volume's root; nothing outside the root is
// touched. Everything that the registry adds for its own rules is below /.nfo, beside distribution's
// tree, so that distribution can continue to use the volume after nfo is uninstalled. Each function
// may run in any number of processes at once: only the file system's rename decides between two of
// them. No function takes a lock except Lock, which serves the writers of one upload.
//
// A file is hidden by a rename into the trash of one collection (a cycle), and is restored by a rename. A process that
// misses a file searches the trash and restores the file (Find): this is why a push and a concurrent collection can
// both be correct. A restored file is young again, and never replaces an existing file.
//
// Time is the volume's: to get the current time, a file is touched
// and its time is read. A host's clock is never compared with it.
//
// On a network file system, the state that one process sees can be as old as Stale returns.
// A file that is missing there is checked a second time after its folder was read again. A
// collection waits longer than Stale between hiding files and deciding about them.
//
// A volume without free space can still be collected. Reading its time needs no
// space. The things that a collection must create, such as the folders of its
// trash, use the space of a reserve below /.nfo, which is created again afterwards.
//
// Decision: hiding is not flushed to the disk. After a power cut a file is in either
// of its two places, and Find finds it in both. Publishing is flushed together with
// all folders that it created, so that a power cut does not lose an acknowledged push.
package volume
