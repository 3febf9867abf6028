package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// site is a running registry and a client of it.
type site struct {
	t      *testing.T
	url    string
	volume *volume.Volume
	*serve.Registry
}

func start(t *testing.T, root string, o serve.Options) site {
	t.Helper()
	if o.Volume == nil {
		v, err := volume.Open(root, volume.Options{})
		check(t, err)
		o.Volume = v
	}
	r, err := serve.New(t.Context(), o)
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	server := httptest.NewServer(r.Handler())
	t.Cleanup(func() { server.Close(); stop(); check(t, <-ended); check(t, r.Close()) })
	return site{t: t, url: server.URL, volume: o.Volume, Registry: r}
}

func (s site) ask(method, path string, body []byte, contentType string) (*http.Response, string) {
	s.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = s.url + path
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, path, bytes.NewReader(body))
	check(s.t, err)
	req.Header["Accept"] = []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	check(s.t, err)
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	check(s.t, err)
	return res, string(got)
}

// upload pushes a blob to repository r, and returns the status and the text of the last answer.
func (s site) upload(content []byte) (ocispec.Descriptor, int, string) {
	s.t.Helper()
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(content), Size: int64(len(content))}
	res, text := s.ask(http.MethodPost, "/v2/r/blobs/uploads/", nil, "")
	if res.StatusCode != http.StatusAccepted {
		return d, res.StatusCode, text
	}
	to, err := res.Request.URL.Parse(res.Header.Get("Location"))
	check(s.t, err)
	res, text = s.ask(http.MethodPut, to.String()+"&digest="+d.Digest.String(), content, "application/octet-stream")
	return d, res.StatusCode, text
}

func (s site) put(reference string, m ocispec.Manifest) (*http.Response, ocispec.Descriptor) {
	s.t.Helper()
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	content, err := json.Marshal(m)
	check(s.t, err)
	d := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	if reference == "" {
		reference = d.Digest.String()
	}
	res, text := s.ask(http.MethodPut, "/v2/r/manifests/"+reference, content, m.MediaType)
	if res.StatusCode != http.StatusCreated {
		s.t.Fatalf("pushing a manifest: %s %s", res.Status, text)
	}
	return res, d
}

func TestReferrers(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	config, status, _ := s.upload([]byte("{}"))
	if status != http.StatusCreated {
		t.Fatal(status)
	}
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("not there yet"), Size: 3}
	kinds := map[digest.Digest]string{}
	for i := range 120 {
		kind := []string{"test/a", "test/b"}[i%2]
		res, d := s.put("", ocispec.Manifest{ArtifactType: kind, Config: config, Subject: &subject, Annotations: map[string]string{"n": fmt.Sprint(i)}})
		if got := res.Header.Get("OCI-Subject"); got != subject.Digest.String() {
			t.Fatalf("OCI-Subject is %q", got)
		}
		kinds[d.Digest] = kind
	}
	if res, _ := s.put("1", ocispec.Manifest{Config: config}); res.Header.Get("OCI-Subject") != "" {
		t.Error("a manifest without a subject has one")
	}
	for _, tt := range []struct {
		reason, query string
		want          int
	}{{"all of them, in pages", "", 120}, {"those of a type", "?artifactType=test%2Fa", 60}, {"of no type that is there", "?artifactType=test%2Fc", 0}} {
		t.Run(tt.reason, func(t *testing.T) {
			found := map[digest.Digest]bool{}
			next := "/v2/r/referrers/" + subject.Digest.String() + tt.query
			for pages := 0; next != ""; pages++ {
				if pages > 3 {
					t.Fatal("it does not end")
				}
				res, text := s.ask(http.MethodGet, next, nil, "")
				if tt.query != "" && res.Header.Get("OCI-Filters-Applied") != "artifactType" {
					t.Error("it does not say that it filters")
				}
				var index ocispec.Index
				if err := json.Unmarshal([]byte(text), &index); err != nil || index.MediaType != ocispec.MediaTypeImageIndex || index.SchemaVersion != 2 {
					t.Fatal(text, err)
				}
				for _, d := range index.Manifests {
					if kinds[d.Digest] != d.ArtifactType || found[d.Digest] {
						t.Errorf("%+v", d)
					}
					found[d.Digest] = true
				}
				next, _, _ = strings.Cut(strings.TrimPrefix(res.Header.Get("Link"), "<"), ">")
			}
			if len(found) != tt.want {
				t.Errorf("%d, want %d", len(found), tt.want)
			}
		})
	}
	check(t, os.MkdirAll(s.volume.Root()+layout.Repositories+"/a/x", 0o755))
	of := "/referrers/" + subject.Digest.String()
	for path, want := range map[string]int{
		// From the repository a/x, these paths lead to the list above.
		"/v2/a/x/%2e%2e/%2e%2e/r" + of:                                 http.StatusBadRequest,
		"/v2/a/x/%2E%2E/.%2e/r" + of:                                   http.StatusBadRequest,
		"/v2/a/x/%2e%2e%2f%2e%2e%2fr" + of:                             http.StatusBadRequest,
		"/v2/a/x%2f..%2f..%2fr" + of:                                   http.StatusBadRequest,
		"/v2/r/referrers/sha256:1":                                     http.StatusBadRequest,
		"/v2/other/referrers/" + digest.FromString("nothing").String(): http.StatusOK,
	} {
		if res, text := s.ask(http.MethodGet, path, nil, ""); res.StatusCode != want {
			t.Errorf("%s: %s %s", path, res.Status, text)
		}
	}
}

// collection requests a collection and waits until it is done.
func (s site) collection() serve.State {
	s.t.Helper()
	res, text := s.ask(http.MethodPost, "/nfo/v1/collection", nil, "")
	if res.StatusCode != http.StatusAccepted {
		s.t.Fatal(res.Status, text)
	}
	var asked, now serve.State
	check(s.t, json.Unmarshal([]byte(text), &asked))
	for now.Done < asked.Requested {
		_, text := s.ask(http.MethodGet, "/nfo/v1/collection", nil, "")
		now = serve.State{}
		check(s.t, json.Unmarshal([]byte(text), &now))
	}
	return now
}

func (s site) age(root string) {
	s.t.Helper()
	then := time.Now().Add(-48 * time.Hour)
	check(s.t, fs.WalkDir(os.DirFS(root), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if err := os.Chtimes(root+"/"+name, then, then); !errors.Is(err, fs.ErrNotExist) { // the registry renames its temporary files
			return err
		}
		return nil
	}))
}

func TestACollectionFreesWhatADeleteLeft(t *testing.T) {
	root := t.TempDir()
	s := start(t, root, serve.Options{Collection: collect.Options{Dwell: time.Millisecond}})
	layer, _, _ := s.upload(bytes.Repeat([]byte("x"), 1<<20))
	_, d := s.put("1", ocispec.Manifest{Config: layer})
	s.age(root)
	if got := s.collection(); got.Last.Deleted.Blobs != 0 || got.Error != "" || got.Running {
		t.Errorf("%+v", got)
	}
	if res, text := s.ask(http.MethodDelete, "/v2/r/manifests/"+d.Digest.String(), nil, ""); res.StatusCode != http.StatusAccepted {
		t.Fatal(res.Status, text)
	}
	s.age(root)
	got := s.collection()
	if got.Last.Deleted.Blobs != 2 || got.Last.Deleted.Bytes < 1<<20 || got.Done != 2 {
		t.Errorf("%+v", got.Last)
	}
	if _, err := s.volume.Stat(layout.BlobPath(layer.Digest)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the layer is still there", err)
	}
	metrics := prometheus.NewPedanticRegistry()
	metrics.MustRegister(s.Registry)
	families, err := metrics.Gather()
	check(t, err)
	shown := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			shown[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if shown["nfo_registry_collections_total"] != 2 || shown["nfo_registry_collection_freed_bytes_total"] < 1<<20 {
		t.Errorf("the metrics are %v", shown)
	}
	alerts, err := os.ReadFile("../../../charts/nfo/templates/alerts.yaml")
	check(t, err)
	names := regexp.MustCompile(`\bnfo_registry_[a-z_]+`).FindAllString(string(alerts), -1)
	for _, name := range names {
		if _, listed := shown[name]; !listed {
			t.Errorf("an alert is on %s, which nobody tells", name)
		}
	}
	if len(names) == 0 {
		t.Error("no alert is on what the registry tells")
	}
	if res, _ := s.ask(http.MethodPost, "/nfo/v1/collection?dryRun=maybe", nil, ""); res.StatusCode != http.StatusBadRequest {
		t.Error(res.Status)
	}
}

// hangs is a view of a volume that does not answer any more.
type hangs struct{ until chan struct{} }

func (h hangs) Lstat(name string) (fs.FileInfo, error) {
	<-h.until
	return os.Lstat(name)
}

func (h hangs) ReadDir(name string) ([]fs.DirEntry, error) {
	<-h.until
	return os.ReadDir(name)
}

func TestAVolumeThatHangsIsNotReady(t *testing.T) {
	until := make(chan struct{})
	root, err := os.MkdirTemp("", "hangs")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	v, err := volume.Open(root, volume.Options{View: hangs{until}})
	check(t, err)
	s := start(t, "", serve.Options{Volume: v})
	t.Cleanup(func() { close(until) }) // before the registry is stopped
	if err := s.Ready(nil); err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Error(err)
	}
}

func TestAVolumeThatWorksIsReady(t *testing.T) {
	s := start(t, t.TempDir(), serve.Options{})
	s.becomesReady()
}
