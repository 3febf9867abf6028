// Package volumetest fills a volume for tests as distribution's registry would.
//
// Contract: a [Tree] writes tags, manifests and blobs at the paths that distribution uses, ages them, and reports what a test
// finds lost or left over. What cannot be written fails the test.
package volumetest
