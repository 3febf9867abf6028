package registry_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/clienttest"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// writeLayout writes a layout with an index of two platforms, and returns the folder and its digest.
func writeLayout(t *testing.T) (string, ocispec.Descriptor) {
	t.Helper()
	r := registrytest.Start(t)
	d, err := registrytest.PushIndex(t.Context(), r.Host, "app", "1.0.0", []string{"linux/amd64", "linux/arm64"}, "layout")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "app")
	if err := registrytest.WriteLayout(t.Context(), r.Host, "app", "1.0.0", folder, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	return folder, d
}

var (
	blobFile   = clienttest.BlobFile
	openLayout = clienttest.OpenLayout
)

// The registry would refuse the damaged blob as well, but with an error that looks like a missing permission.
func TestCopyOfADamagedLayout(t *testing.T) {
	t.Parallel()
	folder, want := writeLayout(t)
	s, err := openLayout(t, folder, false)
	if err != nil {
		t.Fatal(err)
	}
	amd64 := s.Root.Children[0].Digest
	var m ocispec.Manifest
	data, err := os.ReadFile(folder + "/blobs/sha256/" + amd64.Encoded())
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil || len(m.Layers) == 0 {
		t.Fatalf("%s has no layers: %v", want.Digest, err)
	}
	layer := folder + "/blobs/sha256/" + m.Layers[0].Digest.Encoded()
	blob, err := os.ReadFile(layer)
	if err != nil {
		t.Fatal(err)
	}
	blob[len(blob)/2] ^= 1
	if err := errors.Join(os.Chmod(layer, 0o600), os.WriteFile(layer, blob, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, c := start(t)
	err = c.Copy(t.Context(), "acme/app", s, unwatched)
	if !errors.Is(err, registry.ErrUnreadable) || !strings.Contains(err.Error(), m.Layers[0].Digest.String()) || !strings.Contains(err.Error(), "do not have this digest") {
		t.Errorf("a blob with a flipped bit: %v", err)
	}
}
