// Package volumetest fills a volume for tests in the way that distribution's registry would.
//
// Contract: a [Tree] writes tags, manifests and blobs at the paths that distribution uses, ages them, and reports which
// files a test has lost or left over. A write that fails fails the test.
package volumetest
