package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/test/cluster/node"
)

// Every part of the image must be found from its index by digest, as container runtimes do.
func TestPauseImage(t *testing.T) {
	t.Parallel()
	binary, path := filepath.Join(t.TempDir(), "any"), filepath.Join(t.TempDir(), "pause.tar")
	write(t, binary, "program", 0o755)
	if err := writePauseImage(path, binary); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := untar(t, archive)
	var index ocispec.Index
	decode(t, files["index.json"], &index)
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations[ocispec.AnnotationRefName] != node.PauseImage {
		t.Fatalf("the index is %+v, want one image named as the runtime asks for it", index)
	}
	blob := func(d ocispec.Descriptor) []byte {
		content := files["blobs/sha256/"+d.Digest.Encoded()]
		if digest.FromBytes(content) != d.Digest || int64(len(content)) != d.Size {
			t.Errorf("%s of %d bytes is not what the archive has", d.Digest, d.Size)
		}
		return content
	}
	var manifest ocispec.Manifest
	decode(t, blob(index.Manifests[0]), &manifest)
	var config ocispec.Image
	decode(t, blob(manifest.Config), &config)
	layer := blob(manifest.Layers[0])
	if config.Architecture != runtime.GOARCH || config.RootFS.DiffIDs[0] != digest.FromBytes(layer) {
		t.Errorf("the configuration is of another image: %+v", config)
	}
	if got := untar(t, layer)["pause"]; string(got) != "program" || config.Config.Entrypoint[0] != "/pause" {
		t.Errorf("the image starts %q, and its program is %q", config.Config.Entrypoint, got)
	}
	if err := writePauseImage(path, binary+".gone"); err == nil {
		t.Error("made an image of nothing")
	}
}

func untar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func decode(t *testing.T, text []byte, value any) {
	t.Helper()
	if err := json.Unmarshal(text, value); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}
