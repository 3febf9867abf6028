package serve_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	distribution "github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// peer is a registry to measure.
type peer struct {
	name, url string
	client    *http.Client
}

func peerOf(b *testing.B, name string, h http.Handler) peer {
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	return peer{name: name, url: server.URL + "/v2/", client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// peers returns plain distribution and this registry, each with its own folder.
func peers(b *testing.B) []peer {
	b.Helper()
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": {"rootdirectory": b.TempDir()}, "delete": {"enabled": true}, "redirect": {"disable": true},
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = "bench"
	ours, _ := registryOn(b, b.TempDir(), collect.Options{})
	return []peer{peerOf(b, "distribution", handlers.NewApp(b.Context(), config)), ours}
}

func registryOn(b *testing.B, root string, o collect.Options) (peer, *volume.Volume) {
	b.Helper()
	v, err := volume.Open(root, volume.Options{})
	check(b, err)
	r, err := serve.New(b.Context(), serve.Options{Volume: v, Secret: "bench", Requests: 1024, Collection: o})
	check(b, err)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	b.Cleanup(func() { stop(); check(b, <-ended); check(b, r.Close()) })
	return peerOf(b, "nfo registry", r.Handler()), v
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// send expects a status, and returns the location in the answer.
func (p peer) send(method, path string, body []byte, contentType string, want int) (string, error) {
	req, err := http.NewRequest(method, path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header["Accept"] = []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return "", err
	}
	if res.StatusCode != want {
		return "", fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	location := res.Header.Get("Location")
	if location == "" {
		return "", nil
	}
	to, err := res.Request.URL.Parse(location)
	return to.String(), err
}

func (p peer) upload(repository string, content []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(content), Size: int64(len(content))}
	to, err := p.send(http.MethodPost, p.url+repository+"/blobs/uploads/", nil, "", http.StatusAccepted)
	if err != nil {
		return d, err
	}
	_, err = p.send(http.MethodPut, to+"&digest="+d.Digest.String(), content, "application/octet-stream", http.StatusCreated)
	return d, err
}

// image is an image that a client pushes and pulls.
type image struct {
	repository string
	layers     [][]byte
	manifest   []byte
}

func newImage(repository string, layers, size int) image {
	i := image{repository: repository}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for n := range layers + 1 {
		content := make([]byte, size)
		_, _ = rand.Read(content)
		i.layers = append(i.layers, content)
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(content), Size: int64(size)}
		if n == 0 {
			m.Config = d
		} else {
			m.Layers = append(m.Layers, d)
		}
	}
	i.manifest, _ = json.Marshal(m)
	return i
}

func (p peer) push(i image) error {
	for _, content := range i.layers {
		if _, err := p.upload(i.repository, content); err != nil {
			return err
		}
	}
	_, err := p.send(http.MethodPut, p.url+i.repository+"/manifests/1", i.manifest, ocispec.MediaTypeImageManifest, http.StatusCreated)
	return err
}

func (p peer) pull(i image) error {
	if _, err := p.send(http.MethodGet, p.url+i.repository+"/manifests/1", nil, "", http.StatusOK); err != nil {
		return err
	}
	for _, content := range i.layers {
		if _, err := p.send(http.MethodGet, p.url+i.repository+"/blobs/"+digest.FromBytes(content).String(), nil, "", http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

// each calls do for all images, 8 at a time, and returns how long this took.
func each(b *testing.B, images []image, do func(image) error) time.Duration {
	b.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	began := time.Now()
	for _, i := range images {
		g.Go(func() error { return do(i) })
	}
	check(b, g.Wait())
	return time.Since(began)
}

func median(all []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// BenchmarkPushAndPull reports the throughput as a fraction of plain distribution's, in alternating rounds.
func BenchmarkPushAndPull(b *testing.B) {
	for _, size := range []int{4 << 10, 4 << 20} {
		b.Run(fmt.Sprintf("layers of %d KiB", size>>10), func(b *testing.B) {
			both := peers(b)
			took := map[string][]time.Duration{}
			for range 7 {
				var images []image
				for n := range 24 {
					images = append(images, newImage(fmt.Sprintf("bench/%d-%d", n, time.Now().UnixNano()), 3, size))
				}
				for _, p := range both {
					took["push "+p.name] = append(took["push "+p.name], each(b, images, p.push))
					took["first pull "+p.name] = append(took["first pull "+p.name], each(b, images, p.pull))
					took["pull "+p.name] = append(took["pull "+p.name], each(b, images, p.pull))
				}
			}
			for _, act := range []string{"push ", "first pull ", "pull "} {
				b.ReportMetric(float64(median(took[act+"distribution"]))/float64(median(took[act+"nfo registry"])), strings.ReplaceAll(act, " ", "-")+"of-distribution")
			}
		})
	}
}

// BenchmarkHead reports the duration of a HEAD of a manifest of 30 layers, also as a multiple of distribution's.
func BenchmarkHead(b *testing.B) {
	both := peers(b)
	i := newImage("bench/head", 30, 1<<10)
	took := map[string][]time.Duration{}
	for _, p := range both {
		check(b, p.push(i))
	}
	for range 400 {
		for _, p := range both {
			began := time.Now()
			_, err := p.send(http.MethodHead, p.url+i.repository+"/manifests/1", nil, "", http.StatusOK)
			check(b, err)
			took[p.name] = append(took[p.name], time.Since(began))
		}
	}
	b.ReportMetric(float64(median(took["distribution"]).Microseconds()), "µs-distribution")
	b.ReportMetric(float64(median(took["nfo registry"]).Microseconds()), "µs-nfo")
	b.ReportMetric(float64(median(took["nfo registry"]))/float64(median(took["distribution"])), "times-distribution")
}

// fill writes the given number of image manifests with 4 blobs each as plain files, into 100 repositories. All files
// are old, and a tenth of the manifests has no tag.
func fill(b *testing.B, root string, manifests int) {
	b.Helper()
	v, err := volume.Open(root, volume.Options{})
	check(b, err)
	old := time.Now().Add(-48 * time.Hour)
	write := func(path string, content []byte) {
		check(b, v.Write(path, content, true))
		check(b, os.Chtimes(root+path, old, old))
	}
	for n := range manifests {
		i := newImage(fmt.Sprintf("bench/%d", n%100), 2, 64)
		d := digest.FromBytes(i.manifest)
		for _, content := range i.layers {
			of := digest.FromBytes(content)
			write(layout.BlobPath(of), content)
			write(layout.LayerPath(i.repository, of), []byte(of))
		}
		write(layout.BlobPath(d), i.manifest)
		write(layout.RevisionPath(i.repository, d), []byte(d))
		if n%10 > 0 {
			write(layout.TagPath(i.repository, fmt.Sprint(n)), []byte(d))
		}
	}
}

// BenchmarkCollection reports the duration of a collection, and of distribution's garbage-collect, which also deletes
// untagged manifests but must not run while clients push.
func BenchmarkCollection(b *testing.B) {
	for _, n := range []int{2500, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			root := b.TempDir()
			fill(b, root, n)
			v, err := volume.Open(root, volume.Options{})
			check(b, err)
			began := time.Now()
			report, err := collect.Run(b.Context(), v, collect.Options{Untagged: true, Dwell: time.Nanosecond})
			check(b, err)
			b.ReportMetric(time.Since(began).Seconds(), "s")
			b.Log(report.String())
			if n > 2500 {
				return
			}
			other := b.TempDir()
			fill(b, other, n)
			driver := filesystem.New(filesystem.DriverParameters{RootDirectory: other, MaxThreads: 100})
			registry, err := distribution.NewRegistry(b.Context(), driver, distribution.EnableDelete)
			check(b, err)
			began = time.Now()
			check(b, distribution.MarkAndSweep(b.Context(), driver, registry, distribution.GCOpts{RemoveUntagged: true, Quiet: true}))
			b.ReportMetric(time.Since(began).Seconds(), "s-distribution")
		})
	}
}

// BenchmarkPullsDuringACollection reports the p99 of pulls while a volume of
// 10,000 manifests is collected, as a multiple of the p99 without a collection.
func BenchmarkPullsDuringACollection(b *testing.B) {
	root := b.TempDir()
	fill(b, root, 10_000)
	p, v := registryOn(b, root, collect.Options{})
	i := newImage("bench/pulled", 3, 64<<10)
	check(b, p.push(i))
	pulls := func(until func() bool) time.Duration {
		var took []time.Duration
		for !until() {
			began := time.Now()
			check(b, p.pull(i))
			took = append(took, time.Since(began))
		}
		return slices.Sorted(slices.Values(took))[len(took)*99/100]
	}
	end := time.Now().Add(5 * time.Second)
	without := pulls(func() bool { return time.Now().After(end) })
	done := make(chan error, 1)
	go func() {
		_, err := collect.Run(b.Context(), v, collect.Options{Untagged: true, Workers: 1})
		done <- err
	}()
	var err error
	with := pulls(func() bool {
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	check(b, err)
	b.ReportMetric(float64(without.Microseconds()), "µs-p99-without")
	b.ReportMetric(float64(with.Microseconds()), "µs-p99-during")
	b.ReportMetric(float64(with)/float64(without), "times-without")
}
