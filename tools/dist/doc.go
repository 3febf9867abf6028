// Command dist makes the files of a release in one folder: the chart's package, archives of kubectl's plugin with a
// manifest for krew, a list of everything that the programs are built of, and checksums; and it signs them with a key
// that is given. `make dist` runs it.
//
// Contract: the bytes of every file follow from its inputs, the version and --epoch. Only signatures differ from one
// run to the next: OpenPGP puts the time into them, and SHA256SUMS lists none of them. Nothing is downloaded, and the
// key is read from a file and written nowhere.
//
// Decision: one OpenPGP key signs the chart (`helm verify`) and SHA256SUMS (`gpg --verify`), and so all files, because
// Helm's provenance is OpenPGP, and a user needs one key and programs that every distribution has. Rejected: cosign,
// which brings hundreds of modules, and services of others for keys that nobody keeps; minisign and ssh-keygen, which
// would be a second key beside the chart's. The list of modules is SPDX 2.3, taken from what the Go linker wrote into
// the programs, which is what was built and not what go.mod asks for. Rejected: scanners of images, which find the
// same in the same place.
package main
