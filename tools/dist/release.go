package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const sumsFile = "SHA256SUMS"

// release writes every file that is made from the built programs, and then the checksums of all files in the folder.
func release(o options, out io.Writer) error {
	plugins, err := packPlugins(o)
	if err != nil {
		return err
	}
	shipped := []shipment{}
	for _, p := range plugins {
		shipped = append(shipped, shipment{p.archive, []string{p.program}})
	}
	if o.image != "" {
		shipped = append(shipped, shipment{o.image, o.programs})
	}
	if len(plugins) > 0 {
		if err := writeKrew(o, plugins); err != nil {
			return err
		}
	}
	if err := writeSBOM(o, shipped); err != nil {
		return err
	}
	count, err := writeSums(o.out)
	if err == nil {
		fmt.Fprintf(out, "%s: %d files\n", filepath.Join(o.out, sumsFile), count)
	}
	return err
}

// writeSums writes the checksums of the files in a folder, sorted by name, as sha256sum does,
// and returns the number of files. It omits signatures, which are made from the checksums.
func writeSums(folder string) (int, error) {
	entries, err := fs.ReadDir(os.DirFS(folder), ".")
	if err != nil {
		return 0, fmt.Errorf("listing the files of the release: %w", err)
	}
	var sums strings.Builder
	count := 0
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || name == sumsFile || strings.HasSuffix(name, ".asc") || strings.HasSuffix(name, ".prov") {
			continue
		}
		sum, err := checksum(filepath.Join(folder, name))
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, name)
		count++
	}
	if err := os.WriteFile(filepath.Join(folder, sumsFile), []byte(sums.String()), 0o644); err != nil {
		return 0, fmt.Errorf("writing the checksums: %w", err)
	}
	return count, nil
}

// checksum returns the SHA-256 of a file, in hexadecimal digits.
func checksum(name string) (sum string, err error) {
	file, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("reading for a checksum: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("reading for a checksum: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
