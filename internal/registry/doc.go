// Package registry is the only one that speaks to an OCI registry.
//
// Contract: a [Client] reads and writes one store's location (scheme, host and prefix) and
// nothing outside its prefix (I9). It is safe for concurrent use, reuses connections and
// bearer tokens, and bounds every answer that it reads. An error wraps one of the sentinels
// of package failure (several, where one call has failed at several things) and repeats no secret;
// the HTTP detail stays reachable with errors.As and *errcode.ErrorResponse.
//
// Invariants held here:
//   - I2: what cannot be read whole and understood is ErrUnreadable or ErrUnavailable, never
//     an empty answer; a page of HTML is not the registry's word, whatever its status.
//   - I2: ErrNotFound is said only on the registry's own error code for the very thing that was asked for.
//     absence.go of package wire is the one rule for that, and SettlesIn tells how long the registry must go on
//     saying so before it may be acted on.
//   - I5: a tag that is there is never overwritten by PutTag or Restore.
//   - I6: nothing is probed by writing. A tag is removed by DELETE of that tag alone; what a
//     registry makes of it is learnt by Trial, which puts back all that it took.
//   - I11: not found on Untag and Delete is success.
//
// What a registry answers costs a small, fixed multiple of its bytes. Lists are decoded one element at a time and are
// unreadable past a count, only fields that something depends on are kept, and all clients with the same [Budget]
// share what is read and decoded at a time. A body that takes more than a minute gives its share back.
//
// A [Source] is read from a registry, or from an oci.Layout, and copied into a repository by Copy, byte by
// byte and blobs first. Its form and its parts are checked, and bounded, before anything is sent.
//
// The rooms below: package wire sends requests and reads answers, admin asks the registry that nfo ships what no other
// registry answers, oci reads artifacts from their bytes, credential finds logins, decode bounds lists, failure says what
// went wrong. names.go has what a caller of a [Client] needs of them.
//
// Decision: requests are built here, on oras-go's auth client, rather than with its
// remote.Repository. That type has no untag, and its push and delete may read and rewrite
// the sha256-<hex> referrers index of the repository and delete the old one: writes that no
// tombstone has recorded. Here one call is one request, or a documented few. Only copying whole artifacts
// is oras-go's, set to leave that index alone.
//
// Decision: one right answer is enough to report an absence, not to act on it. Rejected: to ask several times in
// a row, for what makes a registry give wrong answers lasts for seconds.
//
// Decision: the list of Azure Container Registry is read here too, rather than with its SDK. That
// panics on a malformed Link, cannot tell an answer without a list from an empty list (I2), reads
// pages of any size, and meets a 401 with a login of its own.
package registry
