package storage

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// replacing is a view that calls replace before Lstat number look.
type replacing struct {
	look    int
	replace func()
}

func (r *replacing) Lstat(name string) (fs.FileInfo, error) {
	if r.look--; r.look == 0 {
		r.replace()
	}
	return os.Lstat(name)
}

func (*replacing) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Content that a client has pushed while the corrupt file was
// read must not be set aside, and must be what the reader gets.
func TestR2WhatWasPushedAgainIsNotSetAside(t *testing.T) {
	content := []byte("right")
	of := digest.FromBytes(content)
	for _, tt := range []struct {
		reason string
		// look is the number of the Lstat after the corrupt file was read.
		look int
		read func(d *Driver) error
	}{
		{"a blob", 1, func(d *Driver) error { _, err := d.verify(of); return err }},
		{"a manifest", 2, func(d *Driver) error {
			got, err := d.small(t.Context(), of)
			if err == nil && string(got) != string(content) {
				err = errors.New("it has other content")
			}
			return err
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			view := &replacing{look: tt.look}
			v, err := volume.Open(t.TempDir(), volume.Options{View: view})
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Write(layout.BlobPath(of), []byte("wrong"), false); err != nil {
				t.Fatal(err)
			}
			view.replace = func() {
				if err := v.Write(layout.BlobPath(of), content, false); err != nil {
					t.Error(err)
				}
			}
			if err := tt.read(New(Options{Volume: v})); err != nil {
				t.Error(err)
			}
			if got, err := v.ReadFile(layout.BlobPath(of), 10); err != nil || string(got) != string(content) {
				t.Errorf("%q is there, %v", got, err)
			}
		})
	}
}
