// Command image makes the operator's container image out of built binaries, without a
// container engine: one OCI index for all platforms, in one OCI archive.
//
// Contract: the archive's bytes follow from its inputs and the Go release alone. Paths are sorted,
// owners are 0:0, modes are fixed, and every time is the one that --epoch gives. An image
// whose files take more than 64 MiB, or what --limit says, is refused, and so is a binary that could not start in it.
//
// Decision: go-containerregistry writes the image, because it is the library behind crane and
// ko, and needs neither root nor a daemon. The root certificates are those of
// golang.org/x/crypto/x509roots, because go.sum pins them. Rejected: building in a
// Dockerfile, which needs an engine, a base image and the network, and takes the certificates
// of that day. The Dockerfile stays for those who have an engine, and compare holds it to the
// same image.
package main
