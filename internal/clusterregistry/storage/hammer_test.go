package storage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hammerVariable sets the duration of each setting of the hammer. Default: 8 seconds.
const hammerVariable = "NFO_HAMMER"

func TestR2HammerLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		reason string
		s      setting
		kills  bool
	}{
		{"everything is a candidate at once, and processes are killed", setting{Grace: time.Nanosecond, Dwell: time.Nanosecond}, true},
		{"pushes are slow", setting{Grace: time.Nanosecond, Dwell: time.Nanosecond, Slow: 10 * time.Millisecond}, false},
		{"as it is used, but faster", setting{Grace: 2 * time.Second, Dwell: 100 * time.Millisecond}, false},
		{"views are out of date, and a collection waits for twice as long", setting{Grace: time.Nanosecond, Dwell: 100 * time.Millisecond, Stale: 50 * time.Millisecond}, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			h := newHammer(t, tt.s)
			h.run(hammerTime(t), tt.kills)
			if lost := h.lost(); lost > 0 {
				t.Errorf("%d pushes were acknowledged and lost: %s", lost, h)
			}
			if h.acknowledged.Load() == 0 || h.deleted.Load() == 0 {
				t.Errorf("nothing happened: %s", h)
			}
			t.Log(h)
		})
	}
}

// Without the rules the hammer must lose pushes. Otherwise it would prove nothing.
func TestR2HammerLosesWithoutTheRules(t *testing.T) {
	if os.Getenv(hammerVariable) == "" {
		t.Skip("how often it hits depends on the machine: make hammer; TestR2TheLook and TestR2TheDwell show the same in one order of steps")
	}
	for _, tt := range []struct {
		reason string
		s      setting
	}{
		{"without the look", setting{Grace: time.Nanosecond, Dwell: 5 * time.Millisecond, Slow: 3 * time.Millisecond, Blind: true}},
		{"views are out of date, and a collection does not wait", setting{Grace: time.Nanosecond, Dwell: time.Nanosecond, Stale: 300 * time.Millisecond}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			for range 5 {
				h := newHammer(t, tt.s)
				h.run(hammerTime(t), false)
				t.Log(h)
				if h.lost() > 0 {
					return
				}
			}
			t.Error("nothing was lost: the hammer does not hit")
		})
	}
}

func hammerTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(hammerVariable)
	if text == "" {
		return 8 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hammer is a set of processes on one volume, and of clients that keep pushing the same few layers.
type hammer struct {
	t         *testing.T
	processes []*process
	contents  [][]byte

	acknowledged, failed, pulled, killed, deleted, wrong atomic.Int64

	mu sync.Mutex
	// tags has the manifest of the last acknowledged push by the path of its tag.
	tags map[string][]byte
}

const (
	hammerProcesses = 3
	hammerClients   = 8
	hammerLayers    = 40
)

func newHammer(t *testing.T, s setting) *hammer {
	t.Helper()
	h := &hammer{t: t, tags: map[string][]byte{}}
	s.Root = t.TempDir()
	for range hammerLayers {
		h.contents = append(h.contents, bytes.Repeat([]byte(fmt.Sprintf("layer %d of %s", len(h.contents), s.Root)), 40))
	}
	for i := range hammerProcesses {
		s.Collects = i < 2
		p := &process{t: t, s: s, deleted: func(n int) { h.deleted.Add(int64(n)) }}
		p.start()
		t.Cleanup(p.kill)
		h.processes = append(h.processes, p)
	}
	return h
}

func (h *hammer) String() string {
	return fmt.Sprintf("%d pushes acknowledged, %d failed, %d pulls, %d blobs deleted, %d kills, %d lost",
		h.acknowledged.Load(), h.failed.Load(), h.pulled.Load(), h.deleted.Load(), h.killed.Load(), h.lost())
}

func (h *hammer) run(d time.Duration, kills bool) {
	end := time.Now().Add(d)
	var clients sync.WaitGroup
	for i := range hammerClients {
		clients.Go(func() { h.client(i, end) })
	}
	if kills {
		clients.Go(func() { h.crash(end) })
	}
	clients.Wait()
	h.verify()
}

// crash repeatedly kills a process and starts it again.
func (h *hammer) crash(end time.Time) {
	ticks := time.NewTicker(300 * time.Millisecond)
	defer ticks.Stop()
	for time.Now().Before(end) {
		<-ticks.C
		p := h.processes[rand.N(len(h.processes))]
		p.kill()
		h.killed.Add(1)
		p.start()
	}
}

// client pushes, pulls and untags. Two clients share a repository, and push the same manifests with different tags.
func (h *hammer) client(id int, end time.Time) {
	repository := fmt.Sprintf("repository-%d", id/2)
	for round := 0; time.Now().Before(end); round++ {
		tag := fmt.Sprintf("client-%d-%d", id, round%2)
		name := repository + "/manifests/" + tag
		h.forget(name)
		if rand.N(2) == 0 {
			h.do(http.MethodDelete, name, nil, "")
		}
		manifest, err := h.push(repository, tag)
		if err != nil {
			h.failed.Add(1)
			continue
		}
		h.acknowledged.Add(1)
		h.remember(name, manifest)
		if rand.N(3) == 0 {
			h.pulled.Add(1)
			h.check(name, manifest)
		}
	}
}

func (h *hammer) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.tags, name)
}

func (h *hammer) remember(name string, manifest []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tags[name] = manifest
}

// push pushes an image of some of the layers, or an index of two images, like a client.
func (h *hammer) push(repository, tag string) ([]byte, error) {
	if rand.N(3) > 0 {
		return h.image(repository, tag)
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for range 2 {
		child, err := h.image(repository, "")
		if err != nil {
			return nil, err
		}
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(child), Size: int64(len(child))})
	}
	return h.manifest(repository, tag, ocispec.MediaTypeImageIndex, encode(index))
}

func (h *hammer) image(repository, tag string) ([]byte, error) {
	// Few layers make clients share them. They are still so many that most are garbage at any time.
	var parts []ocispec.Descriptor
	for range 3 {
		content := h.contents[rand.N(len(h.contents))]
		d := digest.FromBytes(content)
		parts = append(parts, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))})
		if status, _ := h.do(http.MethodHead, repository+"/blobs/"+d.String(), nil, ""); status == http.StatusOK {
			continue
		}
		if err := h.blob(repository, content, d); err != nil {
			return nil, err
		}
	}
	return h.manifest(repository, tag, ocispec.MediaTypeImageManifest, imageOf(parts[0], parts[1:]...))
}

func (h *hammer) blob(repository string, content []byte, d digest.Digest) error {
	base := h.processes[rand.N(len(h.processes))].address()
	status, to := h.send(base, http.MethodPost, repository+"/blobs/uploads/", nil, "")
	if status != http.StatusAccepted {
		return fmt.Errorf("beginning an upload: %d %s", status, to)
	}
	if status, text := h.send(base, http.MethodPut, to+"&digest="+d.String(), content, "application/octet-stream"); status != http.StatusCreated {
		return fmt.Errorf("uploading: %d %s", status, text)
	}
	return nil
}

func (h *hammer) manifest(repository, tag, mediaType string, content []byte) ([]byte, error) {
	if tag == "" {
		tag = digest.FromBytes(content).String()
	}
	if status, text := h.do(http.MethodPut, repository+"/manifests/"+tag, content, mediaType); status != http.StatusCreated {
		return nil, fmt.Errorf("putting a manifest: %d %s", status, text)
	}
	return content, nil
}

func (h *hammer) do(method, path string, body []byte, contentType string) (int, string) {
	return h.send(h.processes[rand.N(len(h.processes))].address(), method, path, body, contentType)
}

func (h *hammer) send(base, method, path string, body []byte, contentType string) (int, string) {
	if !strings.HasPrefix(path, "http") {
		path = base + path
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header["Accept"] = []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	if location := res.Header.Get("Location"); res.StatusCode == http.StatusAccepted && location != "" {
		return res.StatusCode, location
	}
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(got)
}

// verify pulls everything that was acknowledged and not untagged since, after all clients have ended.
func (h *hammer) verify() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, manifest := range h.tags {
		h.check(name, manifest)
	}
}

func (h *hammer) lost() int64 { return h.wrong.Load() }

// check pulls a manifest and everything below it, and compares the bytes. get repeats a request, because a killed
// process does not answer, and a process with an outdated view may report content as missing for a moment.
func (h *hammer) check(name string, manifest []byte) {
	if got, why := h.get(name); got != string(manifest) {
		h.loses("%s: %s", name, why)
		return
	}
	repository, _, _ := strings.Cut(name, "/manifests/")
	var m struct {
		Config    ocispec.Descriptor
		Layers    []ocispec.Descriptor
		Manifests []ocispec.Descriptor
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		h.loses("%s: %v", name, err)
		return
	}
	for _, child := range m.Manifests {
		path := repository + "/manifests/" + child.Digest.String()
		got, why := h.get(path)
		if digest.FromString(got) != child.Digest {
			h.loses("%s of %s: %s", path, name, why)
			return
		}
		h.check(path, []byte(got))
	}
	for _, layer := range append(m.Layers, m.Config) {
		if layer.Digest == "" {
			continue
		}
		if got, why := h.get(repository + "/blobs/" + layer.Digest.String()); digest.FromString(got) != layer.Digest {
			h.loses("%s of %s: %s", layer.Digest, name, why)
			return
		}
	}
}

func (h *hammer) loses(format string, a ...any) {
	if h.wrong.Add(1) <= 3 {
		h.t.Logf(format, a...)
	}
}

// get reads a path. The path is lost if it is reported missing for three seconds, or cannot be read for ten seconds: a
// killed process takes long to start again on a busy machine.
func (h *hammer) get(path string) (content, why string) {
	end, missing := time.Now().Add(10*time.Second), time.Time{}
	for {
		status, text := h.do(http.MethodGet, path, nil, "")
		switch {
		case status == http.StatusOK:
			return text, ""
		case status != http.StatusNotFound:
			missing = time.Time{}
		case missing.IsZero():
			missing = time.Now()
		}
		if time.Now().After(end) || !missing.IsZero() && time.Since(missing) > 3*time.Second {
			return "", fmt.Sprintf("%d %s", status, text)
		}
	}
}
