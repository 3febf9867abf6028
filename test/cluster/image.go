package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/test/cluster/node"
)

// An archive writes an OCI image layout to a tar file. It keeps the first error.
type archive struct {
	*tar.Writer
	err error
}

// writePauseImage writes an image whose only file is the pause binary.
func writePauseImage(path, binary string) error {
	program, err := os.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("making the pause image: %w", err)
	}
	var layer bytes.Buffer
	root := archive{Writer: tar.NewWriter(&layer)}
	root.add("pause", 0o755, program)
	root.close()
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making the pause image: %w", err)
	}
	a := archive{Writer: tar.NewWriter(file), err: root.err}
	platform := ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	config := a.encode(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: platform,
		Config:   ocispec.ImageConfig{Entrypoint: []string{"/pause"}, User: "65535:65535"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer.Bytes())}},
	})
	manifest := a.encode(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{a.blob(ocispec.MediaTypeImageLayer, layer.Bytes())},
	})
	manifest.Platform = &platform
	manifest.Annotations = map[string]string{ocispec.AnnotationRefName: node.PauseImage}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{manifest}}
	a.add(ocispec.ImageIndexFile, 0o644, a.marshal(index))
	a.add(ocispec.ImageLayoutFile, 0o644, a.marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}))
	a.close()
	if err := errors.Join(a.err, file.Close()); err != nil {
		return fmt.Errorf("making the pause image: %w", err)
	}
	return nil
}

func (a *archive) encode(mediaType string, value any) ocispec.Descriptor {
	return a.blob(mediaType, a.marshal(value))
}

func (a *archive) blob(mediaType string, content []byte) ocispec.Descriptor {
	d := digest.FromBytes(content)
	a.add("blobs/"+d.Algorithm().String()+"/"+d.Encoded(), 0o644, content)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}

func (a *archive) marshal(value any) []byte {
	text, err := json.Marshal(value)
	a.err = errors.Join(a.err, err)
	return text
}

func (a *archive) add(name string, mode int64, content []byte) {
	if a.err == nil {
		a.err = a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))})
	}
	if a.err == nil {
		_, a.err = a.Write(content)
	}
}

func (a *archive) close() { a.err = errors.Join(a.err, a.Close()) }
