// Package oci reads artifacts from wherever their parts are stored.
//
// Contract: a [Manifest] is complete and understood, or reading it is an error. A [Source] has every manifest of an
// artifact that is in a registry, in a [Layout], or packed by this package. Its form and its parts are checked, and
// bounded, before anything of it is sent. Its blobs are checked while they are read. This package sends no request.
package oci
