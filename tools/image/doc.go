// Command image makes the operator's container image from built binaries, without
// a container engine: one OCI index for all platforms, in one OCI archive.
//
// Contract: the archive's bytes depend only on its inputs and the Go release. Paths are sorted, owners
// are 0:0, modes are fixed, and every time is that of --epoch. A platform whose files take more than
// 64 MiB, or more than --limit, is refused, and so is a binary that could not start in the image.
//
// Decision: go-containerregistry writes the image, because it is the library of crane and ko, and needs neither
// root nor a daemon. The root certificates are those of golang.org/x/crypto/x509roots, because go.sum pins them.
// Rejected: building in a Dockerfile. That needs an engine, a base image and the network, and uses the certificates
// of the day. The Dockerfile remains for users with an engine, and compare checks that it makes the same image.
package main
