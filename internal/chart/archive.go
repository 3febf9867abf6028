package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/nfo-operator/nfo/internal/chart/images"
)

const (
	// To be installed at all, a chart with its values and rendered objects must fit, compressed, into a Secret of 1 MiB.
	maxArchiveBytes = 8 << 20
	// The unpacked size includes headers and the charts packed in the archive.
	maxUnpackedBytes = 32 << 20
	maxChartFiles    = 10_000
	maxFileName      = 1 << 10
	// The maximum nesting of archives.
	maxPackedDepth = 8
)

// unpackChart unpacks an archive that is within the bounds. It checks paths as Helm does.
func unpackChart(archive []byte) ([]*loader.BufferedFile, error) {
	if len(archive) > maxArchiveBytes {
		return nil, fmt.Errorf("%w: the archive has %d bytes, at most %d are read", ErrTooLarge, len(archive), maxArchiveBytes)
	}
	// Helm's limits apply to each archive separately, and Helm unpacks archives in archives.
	b := &unpackBudget{bytes: maxUnpackedBytes, files: maxChartFiles}
	if err := b.measure(bytes.NewReader(archive), 0); err != nil {
		return nil, asNotChart(err)
	}
	files, err := loader.LoadArchiveFiles(bytes.NewReader(archive))
	if err != nil {
		return nil, asNotChart(err)
	}
	return files, nil
}

func asNotChart(err error) error {
	if errors.Is(err, ErrNotChart) || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: unpacking the archive: %w", ErrNotChart, err)
}

// unpackBudget is the number of bytes and files that may still be unpacked.
type unpackBudget struct{ bytes, files int64 }

// budgetReader bounds the sum of all bytes that the decompressors produce.
type budgetReader struct {
	io.Reader
	budget *unpackBudget
}

func (r budgetReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.budget.bytes -= int64(n); r.budget.bytes < 0 {
		return 0, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrTooLarge, maxUnpackedBytes)
	}
	return n, err
}

// measure reads an archive to its end, including the archives packed in it.
func (b *unpackBudget) measure(archive io.Reader, depth int) error {
	if depth > maxPackedDepth {
		return fmt.Errorf("%w: archives are nested in it more than %d deep", ErrTooLarge, maxPackedDepth)
	}
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	files := tar.NewReader(budgetReader{unzipped, b})
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.measureFile(header, files, depth); err != nil {
			return err
		}
	}
}

func (b *unpackBudget) measureFile(header *tar.Header, content io.Reader, depth int) error {
	if b.files--; b.files < 0 {
		return fmt.Errorf("%w: it has more than %d files", ErrTooLarge, maxChartFiles)
	}
	name := strings.ReplaceAll(header.Name, `\`, "/")
	switch {
	case len(name) > maxFileName:
		return fmt.Errorf("%w: a file's name has %d bytes, at most %d are read", ErrTooLarge, len(name), maxFileName)
	case header.Typeflag == tar.TypeDir, header.Typeflag == tar.TypeXGlobalHeader:
		return nil
	case header.Typeflag != tar.TypeReg:
		return fmt.Errorf("%w: %q is not a regular file", ErrNotChart, images.Clip(name, images.MaxName))
	case header.Size > loader.MaxDecompressedFileSize:
		return fmt.Errorf("%w: %q has %d bytes, at most %d are read", ErrTooLarge, images.Clip(name, images.MaxName), header.Size, loader.MaxDecompressedFileSize)
	case path.Ext(name) != ".tgz" || path.Base(path.Dir(name)) != "charts":
		return nil
	}
	// The loader reports a packed subchart that is not an archive.
	if err := b.measure(content, depth+1); errors.Is(err, ErrTooLarge) || errors.Is(err, ErrNotChart) {
		return fmt.Errorf("in %s: %w", images.Clip(name, images.MaxName), err)
	}
	return nil
}
