package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// repeated is the content that layers repeat.
var repeated = func() []byte {
	all := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(all) // never fails
	return all
}()

// madeBlob is content that is made when it is read, so that a source of gigabytes
// needs neither disk nor memory. If data is not nil, it is the whole content.
type madeBlob struct {
	number uint64
	size   int64
	data   []byte
}

func (m madeBlob) reader() io.Reader {
	if m.data != nil {
		return bytes.NewReader(m.data)
	}
	return io.LimitReader(io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint64(nil, m.number)), &endless{}), m.size)
}

// endless repeats the content without an end.
type endless struct{ at int }

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, repeated[e.at:])
	e.at = (e.at + n) % len(repeated)
	return n, nil
}

// made is a registry of images whose blobs are made when they are read, each in a repository acme/NAME with the tag 1.
type made struct {
	*httptest.Server
	*traffic
	names  []string
	images map[string][]byte // manifests, by repository
	blobs  map[digest.Digest]madeBlob
}

// newMade starts a registry of images with one layer of 1 KiB, except
// that the first ones, as many as larger, have layers of the given size.
func newMade(b *testing.B, images, larger, layers int, size int64) *made {
	b.Helper()
	m := &made{traffic: &traffic{}, images: map[string][]byte{}, blobs: map[digest.Digest]madeBlob{}}
	var mu sync.Mutex
	var making errgroup.Group
	making.SetLimit(2)
	for i := range images {
		m.names = append(m.names, name(i))
		making.Go(func() error {
			of, n := int64(1<<10), 1
			if i < larger {
				of, n = size, layers
			}
			blobs := []madeBlob{{data: fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Cmd":["/%d"]},"rootfs":{"type":"layers","diff_ids":[]}}`, i)}}
			blobs[0].size = int64(len(blobs[0].data))
			for j := range n {
				blobs = append(blobs, madeBlob{number: uint64(i*layers + j), size: of})
			}
			all, err := described(blobs)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return m.add("acme/"+name(i), blobs, all)
		})
	}
	must(b, making.Wait())
	m.Server = httptest.NewServer(m)
	b.Cleanup(m.Close)
	return m
}

// described returns the descriptors of blobs, of which the first is a config and the others are layers.
func described(blobs []madeBlob) ([]ocispec.Descriptor, error) {
	var all []ocispec.Descriptor
	kind := ocispec.MediaTypeImageConfig
	for _, blob := range blobs {
		digester := digest.SHA256.Digester()
		if _, err := io.Copy(digester.Hash(), blob.reader()); err != nil {
			return nil, err
		}
		all = append(all, ocispec.Descriptor{MediaType: kind, Digest: digester.Digest(), Size: blob.size})
		kind = ocispec.MediaTypeImageLayerGzip
	}
	return all, nil
}

// add adds an image of blobs with known descriptors.
func (m *made) add(repository string, blobs []madeBlob, all []ocispec.Descriptor) error {
	for i, d := range all {
		m.blobs[d.Digest] = blobs[i]
	}
	manifest, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: all[0], Layers: all[1:]})
	m.images[repository] = manifest
	return err
}

// ServeHTTP answers the requests of a pull.
func (m *made) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.note(r)
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	repository, reference, isManifest := strings.Cut(path, "/manifests/")
	_, d, isBlob := strings.Cut(path, "/blobs/")
	manifest, known := m.images[repository]
	blob, there := m.blobs[digest.Digest(d)]
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	switch {
	case path == "":
		m.answer(w, r, "application/json", "", madeBlob{data: []byte("{}"), size: 2})
	case isManifest && known && (reference == "1" || reference == digest.FromBytes(manifest).String()):
		m.answer(w, r, ocispec.MediaTypeImageManifest, digest.FromBytes(manifest), madeBlob{data: manifest, size: int64(len(manifest))})
	case isBlob && there:
		m.answer(w, r, "application/octet-stream", digest.Digest(d), blob)
	default: // there are no signatures either
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`))
	}
}

func (m *made) answer(w http.ResponseWriter, r *http.Request, kind string, d digest.Digest, of madeBlob) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.FormatInt(of.size, 10))
	if d != "" {
		w.Header().Set("Docker-Content-Digest", d.String())
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, of.reader()) // an error means that the client has left
	}
}

// traffic counts the requests to a registry that are about images.
type traffic struct {
	mu sync.Mutex
	// images are the repositories in the requests, requests is the number of
	// requests, and blobs is the number of those that transfer the content of a blob.
	images          map[string]bool
	requests, blobs int
}

// note counts a request.
func (t *traffic) note(r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	at := -1
	for _, kind := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/"} {
		at = max(at, strings.Index(path, kind))
	}
	if at < 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.images == nil {
		t.images = map[string]bool{}
	}
	t.images[path[:at]] = true
	t.requests++
	if strings.Contains(path, "/blobs/") && r.Method != http.MethodHead {
		t.blobs++
	}
}

// forget resets the counts.
func (t *traffic) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.images, t.requests, t.blobs = nil, 0, 0
}

// seen returns the counts.
func (t *traffic) seen() (images, requests, blobs int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.images), t.requests, t.blobs
}
