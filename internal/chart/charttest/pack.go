// Package charttest creates charts for tests.
package charttest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"slices"
)

// Pack packs the files of a chart with a name, as `helm package` does. The same files give the same bytes.
func Pack(name string, files map[string]string) []byte {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		err := archive.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(files[file]))})
		if _, writeErr := archive.Write([]byte(files[file])); err != nil || writeErr != nil {
			panic(errors.Join(err, writeErr)) // a write to memory fails only for names that tar cannot contain
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		panic(err)
	}
	return packed.Bytes()
}
