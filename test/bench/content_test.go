package bench

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// load is the content of a registry, and the round-trip time to it.
type load struct {
	manifests, artifacts int // each artifact has its own repository
	released, tagged     int // in each repository
	away                 time.Duration
}

func (l load) String() string {
	return fmt.Sprintf("manifests=%d/artifacts=%d/released=%d/tagged=%d/away=%s", l.manifests, l.artifacts, l.released, l.tagged, l.away)
}

func (l load) repositories() int { return l.manifests * l.artifacts }

func (l load) deletes() int { return l.repositories() * l.released }

// repository returns the i-th repository; those of a manifest are consecutive.
func (l load) repository(i int) string {
	return fmt.Sprintf("acme/%s/image%d", name(i/l.artifacts), i%l.artifacts)
}

// target is one digest to delete.
type target struct {
	repository string
	digest     digest.Digest
}

// layOut writes small images to a disk as the registry stores them, which is much faster than pushing them. It
// returns the untagged ones, in the order of manifests and repositories. The same load gives the same content.
func (l load) layOut(d disk) ([]target, error) {
	released := make([]target, l.deletes())
	layer, err := d.blob(noise("layer", 4096))
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(8)
	for i := range l.repositories() {
		for j := range l.released + l.tagged {
			g.Go(func() error {
				x, err := d.image(l.repository(i), fmt.Sprint(name(i), "-", j), layer)
				if err != nil || j >= l.released {
					return d.tag(l.repository(i), fmt.Sprintf("kept-%d", j), x, err)
				}
				released[i*l.released+j] = target{l.repository(i), x}
				return nil
			})
		}
		if err := os.MkdirAll(d.path("repositories", l.repository(i), "_manifests/tags"), 0o755); err != nil {
			return nil, err
		}
	}
	return released, g.Wait()
}

// noise returns n bytes that differ for each seed.
func noise(seed string, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(data) // never fails
	return data
}

// disk is the root folder of a registry's files.
type disk string

func (d disk) path(parts ...string) string {
	return filepath.Join(append([]string{string(d), "docker/registry/v2"}, parts...)...)
}

func (d disk) write(data []byte, parts ...string) error {
	file := d.path(parts...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

func (d disk) blob(data []byte) (digest.Digest, error) {
	x := digest.FromBytes(data)
	return x, d.write(data, "blobs/sha256", x.Encoded()[:2], x.Encoded(), "data")
}

// image writes an image with its own config and an existing layer.
func (d disk) image(repository, seed string, layer digest.Digest) (digest.Digest, error) {
	config := noise(seed, 1024)
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: 1024},
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: layer, Size: 4096}},
	}
	data, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	if _, err = d.blob(config); err != nil {
		return "", err
	}
	x, err := d.blob(data)
	if err != nil {
		return "", err
	}
	for _, blob := range []digest.Digest{m.Config.Digest, layer} {
		if err = d.link(blob, "repositories", repository, "_layers/sha256", blob.Encoded()); err != nil {
			return "", err
		}
	}
	return x, d.revision(target{repository, x})
}

// revision writes the file that the deletion of an untagged digest removes.
func (d disk) revision(t target) error {
	return d.link(t.digest, "repositories", t.repository, "_manifests/revisions/sha256", t.digest.Encoded())
}

// tag writes a tag, unless err is set.
func (d disk) tag(repository, tag string, x digest.Digest, err error) error {
	if err != nil {
		return err
	}
	folder := []string{"repositories", repository, "_manifests/tags", tag}
	if err := d.link(x, append(folder, "index/sha256", x.Encoded())...); err != nil {
		return err
	}
	return d.link(x, append(folder, "current")...)
}

func (d disk) link(x digest.Digest, folder ...string) error {
	return d.write([]byte(x), append(folder, "link")...)
}

// has reports whether a repository still has a digest.
func (d disk) has(t target) bool {
	_, err := os.Stat(d.path("repositories", t.repository, "_manifests/revisions/sha256", t.digest.Encoded(), "link"))
	return err == nil
}
