package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// rootfs returns the image's file system for platform as a tar archive, which the caller may open more than once.
func (s spec) rootfs(platform string) (tarball.Opener, error) {
	nfo, err := os.ReadFile(s.binaries[platform])
	if err != nil {
		return nil, fmt.Errorf("reading the binary: %w", err)
	}
	roots, err := os.ReadFile(s.roots)
	if err != nil {
		return nil, fmt.Errorf("reading the root certificates: %w", err)
	}
	if size := int64(len(nfo) + len(roots)); size > s.limit {
		return nil, fmt.Errorf("its files take %d bytes, and at most %d are allowed: find what made the binary grow", size, s.limit)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range []struct {
		path    string
		mode    int64
		content []byte // nil for a directory
	}{
		{"etc/", 0o755, nil},
		{"etc/ssl/", 0o755, nil},
		{"etc/ssl/certs/", 0o755, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, roots},
		{"nfo", 0o755, nfo},
	} {
		header := &tar.Header{Name: f.path, Mode: f.mode, Size: int64(len(f.content)), ModTime: s.created, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.path, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("packing the file system: %w", err)
	}
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }, nil
}
