//go:build s3

package main

// It registers itself. The library of AWS that it is made of adds 8 MiB to the program, which every replica of the manager
// would load: that is why it is not in the image by default.
import _ "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
