// Package oci reads artifacts from wherever their parts are stored.
//
// Contract: a [Manifest] is read whole and understood, or is an error. A [Source] has every manifest of an artifact, from a
// registry, from a [Layout] or made here; its form and its parts are checked, and bounded, before anything of it is sent,
// and its blobs are checked while they are read. This package sends no request.
package oci
