//go:build s3

package main

// The driver registers itself. It is not in the image by default, because AWS's
// library adds 8 MiB to the program, which every replica of the manager would load.
import _ "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
