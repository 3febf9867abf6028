package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// plugin is the kubectl plugin for one platform.
type plugin struct {
	os, arch string
	// program is the path of the built program, and archive is the name of its archive in the folder of the release.
	program, archive string
}

// packed is one file of an archive.
type packed struct {
	name string
	mode os.FileMode
	data []byte
}

// packPlugins writes the archive of each platform.
func packPlugins(o options) ([]plugin, error) {
	license, err := os.ReadFile(o.license)
	if err != nil {
		return nil, fmt.Errorf("reading the license: %w", err)
	}
	var all []plugin
	for _, given := range o.plugins {
		platform, path, found := strings.Cut(given, "=")
		system, arch, slash := strings.Cut(platform, "/")
		if !found || !slash {
			return nil, fmt.Errorf("reading --plugin: %q is not of the form linux/amd64=PATH", given)
		}
		program, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the plugin for %s: %w", platform, err)
		}
		p := plugin{os: system, arch: arch, program: path}
		pack, end := tarred, "tar.gz"
		if system == "windows" { // Windows can unpack zip files without another program
			pack, end = zipped, "zip"
		}
		p.archive = fmt.Sprintf("kubectl-nfo_%s_%s_%s.%s", strings.TrimPrefix(o.version, "v"), system, arch, end)
		data, err := pack([]packed{{"LICENSE", 0o644, license}, {p.file(), 0o755, program}}, o.created)
		if err == nil {
			err = os.WriteFile(filepath.Join(o.out, p.archive), data, 0o644)
		}
		if err != nil {
			return nil, fmt.Errorf("packing the plugin for %s: %w", platform, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// file returns the name of the program in the archive.
func (p plugin) file() string {
	if p.os == "windows" {
		return "kubectl-nfo.exe"
	}
	return "kubectl-nfo"
}

func tarred(files []packed, created time.Time) ([]byte, error) {
	var all bytes.Buffer
	z := gzip.NewWriter(&all)
	w := tar.NewWriter(z)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f.name, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: created, Format: tar.FormatUSTAR})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := errors.Join(w.Close(), z.Close())
	return all.Bytes(), err
}

func zipped(files []packed, created time.Time) ([]byte, error) {
	var all bytes.Buffer
	w := zip.NewWriter(&all)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: created}
		header.SetMode(f.mode)
		to, err := w.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := to.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return all.Bytes(), err
}
