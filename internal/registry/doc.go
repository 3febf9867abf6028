// Package registry is the only package that communicates with an OCI registry.
//
// Contract: a [Client] reads and writes only repositories below one store's location (scheme, host and prefix)
// (I9). It is safe for concurrent use, reuses connections and bearer tokens, and bounds every answer that it
// reads. An error wraps one of the sentinels of package failure (several, if one call failed in several ways)
// and contains no secret; the HTTP detail stays reachable with errors.As and *errcode.ErrorResponse.
//
// Invariants held here:
//   - I2: an answer that is incomplete or not understood is ErrUnreadable or ErrUnavailable, never an
//     empty answer. An HTML page is never taken for an answer of the registry, whatever its status.
//   - I2: ErrNotFound requires the registry's own error code for exactly the object that
//     was requested. absence.go of package wire alone decides that, and SettlesIn returns
//     how much longer the registry must report the absence before a caller may act on it.
//   - I5: PutTag and Restore never overwrite an existing tag.
//   - I6: no feature of a registry is tested by writing. A tag is removed only by DELETE of that
//     tag. Trial finds out what else a registry deletes with the tag, and restores all of it.
//   - I11: not found is success for Untag. Delete returns ErrNotFound, and its caller decides.
//
// Reading an answer takes a small, fixed multiple of its size in memory. Lists are decoded one element at
// a time and are unreadable beyond a number of entries, only the fields that nfo uses are kept, and all
// clients with the same [Budget] share a bound on the bytes that are read and decoded at the same time.
// The client gives up on a body that takes more than a minute, and returns its share of the budget.
//
// A [Source] is read from a registry, or from an oci.Layout. Copy copies it into a repository byte by byte,
// blobs first. The form and the parts of the source are checked, and bounded, before anything is sent.
//
// The packages below: wire sends requests and reads answers, admin uses the routes that only nfo's own
// registry has, oci reads artifacts from their bytes, credential finds logins, decode bounds lists, failure
// defines the errors. names.go repeats the names of these packages that a caller of a [Client] needs.
//
// Decision: requests are built here, on oras-go's auth client. Each call is one request, or a
// documented few. oras-go's remote.Repository only copies whole artifacts and reads referrers, and
// is set never to change the referrers index. Rejected: remote.Repository for everything, because
// it cannot untag, and its push and delete may read and rewrite the sha256-<hex> referrers index
// of the repository and delete the old index: writes that no tombstone has recorded.
//
// Decision: one valid answer is enough to report an absence, but not to act on it. Rejected: repeating the request
// several times in a row, because the conditions that make a registry give wrong answers last for seconds.
//
// Decision: the list of Azure Container Registry is read here too. Rejected: its SDK,
// because it panics on a malformed Link header, cannot distinguish an answer without a list
// from an empty list (I2), reads pages of any size, and answers a 401 with its own login.
package registry
