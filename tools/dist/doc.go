// Command dist makes the files of a release in one folder: the chart's package,
// archives of kubectl's plugin with a manifest for krew, a list of the modules in the
// programs (SBOM), and checksums. It signs them with a given key. `make dist` runs it.
//
// Contract: the bytes of every file depend only on its inputs, the version and --epoch.
// Signatures are the exception, because OpenPGP puts the time into them; SHA256SUMS lists
// no signature. Nothing is downloaded. The key is read from a file, and never written.
//
// Decision: one OpenPGP key signs the chart (`helm verify`) and SHA256SUMS (`gpg --verify`), and with SHA256SUMS
// all files. Helm's provenance is OpenPGP, so a user needs one key, and programs that every distribution has.
// Rejected: cosign. It brings hundreds of modules, and depends on third-party services for its keyless
// signatures. Rejected: minisign and ssh-keygen. They would need a second key beside that of the chart. The SBOM
// is SPDX 2.3, made from what the Go linker wrote into the programs, which is what was built and not only what
// go.mod requires. Rejected: scanners of images. They read the same data from the same programs.
package main
