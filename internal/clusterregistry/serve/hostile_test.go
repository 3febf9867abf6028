package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
)

// A body that the handler does not read and that never ends must not keep a connection: the server gives up after a
// while. A form must not be read into memory before the client is authenticated.
func TestFormsAreNotRead(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	for _, kind := range []string{"multipart/form-data; boundary=x", "Multipart/Mixed; boundary=x", "application/x-www-form-urlencoded; charset=utf-8"} {
		never, end := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v2/r/blobs/uploads/", never)
		check(t, err)
		req.Header.Set("Content-Type", kind)
		client := http.Client{Timeout: time.Minute}
		res, err := client.Do(req)
		check(t, err)
		if res.StatusCode != http.StatusAccepted {
			t.Errorf("%s: %s", kind, res.Status)
		}
		_ = res.Body.Close()
		_ = end.Close()
	}
	// A client that sends a layer as a form, as curl does by default, must push it unchanged.
	content := []byte("a=b&c=d")
	res, _ := s.ask(http.MethodPost, "/v2/r/blobs/uploads/", nil, "")
	to, err := res.Request.URL.Parse(res.Header.Get("Location"))
	check(t, err)
	if res, text := s.ask(http.MethodPut, to.String()+"&digest="+digest.FromBytes(content).String(), content, "application/x-www-form-urlencoded"); res.StatusCode != http.StatusCreated {
		t.Error(res.Status, text)
	}
}

func TestRequestsThatDistributionAnswersWrongly(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	for _, tt := range []struct{ reason, path, says string }{
		{"a name that is too long", "/v2/" + strings.Repeat("a", 256) + "/tags/list", "NAME_INVALID"},
		{"a long path of short parts", "/v2/" + strings.Repeat("a/", 128) + "a/manifests/1", "NAME_INVALID"},
	} {
		if res, text := s.ask(http.MethodGet, tt.path, nil, ""); res.StatusCode != http.StatusBadRequest || !strings.Contains(text, tt.says) {
			t.Errorf("%s: %s %s", tt.reason, res.Status, text)
		}
	}
	if res, _ := s.ask(http.MethodGet, "/v2/"+strings.Repeat("a", 255)+"/tags/list", nil, ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("a name of the longest: %s", res.Status)
	}
}

// Abandoned uploads use files of the volume, so the uploads of a repository are bounded.
func TestUploadsOfARepositoryAreBounded(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	for i := range 1000 {
		check(t, os.MkdirAll(s.volume.Root()+layout.UploadsOf("r")+fmt.Sprint("/", i), 0o755))
	}
	if res, text := s.ask(http.MethodPost, "/v2/r/blobs/uploads/", nil, ""); res.StatusCode != http.StatusTooManyRequests || !strings.Contains(text, "have begun and not ended") {
		t.Error(res.Status, text)
	}
	if got := s.state(http.MethodGet, ""); got.Requested != 1 {
		t.Errorf("%d collections were asked for", got.Requested)
	}
	if res, text := s.ask(http.MethodPost, "/v2/other/blobs/uploads/", nil, ""); res.StatusCode != http.StatusAccepted {
		t.Error("another repository:", res.Status, text)
	}
	check(t, os.Remove(s.volume.Root()+layout.UploadsOf("r")+"/7"))
	if res, text := s.ask(http.MethodPost, "/v2/r/blobs/uploads/", nil, ""); res.StatusCode != http.StatusAccepted {
		t.Error("after one has ended:", res.Status, text)
	}
}

// fat returns an image manifest of almost 4 MiB that takes much more memory than that.
func fat(t *testing.T, config ocispec.Descriptor, subject *ocispec.Descriptor, n int) []byte {
	t.Helper()
	annotations := map[string]string{"n": fmt.Sprint(n)}
	for i := range 140_000 {
		annotations[fmt.Sprintf("key-%012d", i)] = "value"
	}
	content, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Subject: subject, Annotations: annotations})
	check(t, err)
	if len(content) > layout.MaxManifest {
		t.Fatal(len(content))
	}
	return content
}

// Only a few large manifests may be handled at a time, however
// many clients send them: together they would fill the memory.
func TestLargeManifestsTakeTurns(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	config, _, _ := s.upload([]byte("{}"))
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("any"), Size: 3}
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // so that the heap has little garbage
	var most uint64
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	var clients sync.WaitGroup
	content := fat(t, config, &subject, 1000)
	for i := range 12 {
		clients.Go(func() {
			mine := bytes.Replace(content, []byte(`"n":"1000"`), fmt.Appendf(nil, `"n":"%d"`, 2000+i), 1)
			status, text, err := s.putAs(http.DefaultClient, fmt.Sprint("client", i), fmt.Sprint(i), bytes.NewReader(mine), int64(len(mine)))
			if status != http.StatusCreated && status != http.StatusServiceUnavailable {
				t.Errorf("%d %.200s, %v", status, text, err)
			}
		})
	}
	clients.Wait()
	close(stop)
	<-watched
	// 12 at a time take more than 400 MiB, 3 take 155 MiB (measured).
	if most > 280<<20 {
		t.Errorf("%d MiB were in use", most>>20)
	}
	res, text := s.ask(http.MethodGet, "/v2/r/referrers/"+subject.Digest.String(), nil, "")
	if res.StatusCode != http.StatusOK || len(text) > 8<<20 || res.Header.Get("Link") == "" {
		t.Errorf("a page of referrers: %s, %d bytes, Link %q", res.Status, len(text), res.Header.Get("Link"))
	}
}

// putAs puts a manifest of the given size with the given token.
func (s site) putAs(client *http.Client, token, tag string, body io.Reader, size int64) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, s.url+"/v2/r/manifests/"+tag, body)
	if err != nil {
		return 0, "", err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
	req.Header.Set("Expect", "100-continue")
	req.SetBasicAuth("x", token)
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	return res.StatusCode, string(got), err
}

// A client that keeps sending large manifests must leave places for those of others.
func TestLargeManifestsOfOneClientTakeTurns(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	config, _, _ := s.upload([]byte("{}"))
	content := fat(t, config, nil, 1)
	// The client sends the body once the registry reads it, which is when it has a place for the manifest.
	patient := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	var greedy sync.WaitGroup
	defer greedy.Wait()
	for i := range 3 {
		body, end := io.Pipe()
		defer func() { _ = end.CloseWithError(io.ErrUnexpectedEOF) }()
		greedy.Go(func() {
			if status, text, err := s.putAs(patient, "greedy", fmt.Sprint("never", i), body, 300<<10); err == nil && status < 400 {
				t.Errorf("a manifest that never ends: %d %.200s", status, text)
			}
		})
		if i == 0 {
			_, err := end.Write([]byte("{"))
			check(t, err)
			continue
		}
		go func() { _, _ = end.Write([]byte("{")) }()
	}
	<-time.After(time.Second) // until the other two have begun to wait
	if status, text, err := s.putAs(patient, "modest", "1", bytes.NewReader(content), int64(len(content))); status != http.StatusCreated {
		t.Errorf("a manifest of another client: %d %.200s, %v", status, text, err)
	}
}

// The registry must neither follow a symbolic link nor wait for a pipe, which it never creates.
func TestLinksAndPipesInTheVolume(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	secret := t.TempDir() + "/secret"
	check(t, os.WriteFile(secret, []byte("secret"), 0o600))
	of := digest.FromString("secret")
	file := s.volume.Root() + layout.BlobPath(of)
	check(t, s.volume.Write(layout.LayerPath("r", of), []byte(of), true))
	for _, tt := range []struct {
		reason string
		make   func() error
	}{
		{"a symbolic link out of the volume", func() error { return os.Symlink(secret, file) }},
		{"a pipe that nobody writes to", func() error { return unix.Mkfifo(file, 0o600) }},
	} {
		check(t, s.volume.Write(layout.BlobPath(of), nil, true))
		check(t, os.Remove(file))
		check(t, tt.make())
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			if res, text := s.ask(method, "/v2/r/blobs/"+of.String(), nil, ""); res.StatusCode < 400 || strings.Contains(text, "secret\n") || text == "secret" {
				t.Errorf("%s: %s %s %s", tt.reason, method, res.Status, text)
			}
		}
		_ = os.Remove(file)
	}
}
