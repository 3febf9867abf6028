package serve_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volumetest"
)

// A full volume must refuse only uploads, until something is deleted and collected.
func TestAFullVolumeRefusesUploadsOnly(t *testing.T) {
	root := volumetest.Small(t, "size=24m")
	s := start(t, root, serve.Options{Collection: collect.Options{Dwell: time.Millisecond}})
	var layers []ocispec.Descriptor
	var status int
	var text string
	for i := range 60 {
		var d ocispec.Descriptor
		if d, status, text = s.upload(bytes.Repeat([]byte{byte(i)}, 512<<10)); status != http.StatusCreated {
			break
		}
		layers = append(layers, d)
	}
	if status != http.StatusInsufficientStorage || !strings.Contains(text, "collect") {
		t.Fatalf("after %d layers: %d %s", len(layers), status, text)
	}
	_, d := s.put("1", ocispec.Manifest{Config: layers[0], Layers: layers[1:]})
	if res, _ := s.ask(http.MethodGet, "/v2/r/blobs/"+layers[1].Digest.String(), nil, ""); res.StatusCode != http.StatusOK {
		t.Error("a pull:", res.Status)
	}
	if _, text := s.ask(http.MethodGet, "/nfo/v1/usage", nil, ""); !strings.Contains(text, "refuses") {
		t.Error(text)
	}
	if res, text := s.ask(http.MethodDelete, "/v2/r/manifests/"+d.Digest.String(), nil, ""); res.StatusCode != http.StatusAccepted {
		t.Fatal("a delete:", res.Status, text)
	}
	s.age(root)
	if got := s.collection(); got.Error != "" || got.Last.Deleted.Blobs < len(layers) {
		t.Fatalf("%+v", got)
	}
	for end := time.Now().Add(5 * time.Second); ; {
		// The usage is read once a second.
		if _, status, text = s.upload([]byte("again")); status == http.StatusCreated {
			break
		}
		if time.Now().After(end) {
			t.Fatal("uploads do not go on:", status, text)
		}
	}
}

// becomesReady waits until the registry has probed the volume.
func (s site) becomesReady() {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); s.Ready(nil) != nil; {
		<-time.After(10 * time.Millisecond)
		if time.Now().After(end) {
			s.t.Fatal(s.Ready(nil))
		}
	}
}

// gauge returns the value of a gauge without labels.
func (s site) gauge(name string) float64 {
	s.t.Helper()
	metrics := prometheus.NewPedanticRegistry()
	metrics.MustRegister(s.Registry)
	families, err := metrics.Gather()
	check(s.t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	s.t.Fatalf("no metric %s is shown", name)
	return 0
}

// If nothing at all can be written, because others have filled the file
// system, pulls must continue, and deletions and collections must free space.
func TestPullsAndCollectionsGoOnWithoutAnyRoom(t *testing.T) {
	root := volumetest.Small(t, "size=8m")
	o := serve.Options{Collection: collect.Options{Dwell: time.Millisecond}}
	first := start(t, root, o)
	first.becomesReady()
	kept, _, _ := first.upload(bytes.Repeat([]byte("k"), 128<<10))
	freed, _, _ := first.upload(bytes.Repeat([]byte("f"), 128<<10))
	first.put("kept", ocispec.Manifest{Config: kept})
	_, unused := first.put("unused", ocispec.Manifest{Config: freed})
	_, asked := first.put("", ocispec.Manifest{Config: freed, ArtifactType: "test/asked"})
	first.age(root)
	filler, err := os.Create(root + "/filler")
	check(t, err)
	t.Cleanup(func() { check(t, filler.Close()) })
	fill := func() {
		t.Helper()
		for err = nil; err == nil; {
			_, err = filler.Write(bytes.Repeat([]byte("x"), 4096))
		}
		if !volume.Full(err) {
			t.Fatal(err)
		}
	}
	fill()

	s := start(t, root, o) // its first probe finds the volume full
	s.becomesReady()
	if s.gauge("nfo_registry_volume_ready") != 0 || s.gauge("nfo_registry_volume_free_bytes") != 0 {
		t.Error("no metric tells that the volume is full")
	}
	for _, path := range []string{"manifests/kept", "blobs/" + kept.Digest.String()} {
		if res, text := s.ask(http.MethodGet, "/v2/r/"+path, nil, ""); res.StatusCode != http.StatusOK {
			t.Errorf("a pull of %s: %s %.200s", path, res.Status, text)
		}
	}
	if _, status, text := s.upload([]byte("more")); status != http.StatusInsufficientStorage {
		t.Errorf("an upload: %d %s", status, text)
	}
	if res, text := s.ask(http.MethodDelete, "/nfo/v1/unreferenced?repository=r&digest="+asked.Digest.String(), nil, ""); res.StatusCode != http.StatusAccepted {
		t.Error("a delete of what nothing references:", res.Status, text)
	}
	if res, text := s.ask(http.MethodDelete, "/v2/r/manifests/"+unused.Digest.String(), nil, ""); res.StatusCode != http.StatusAccepted {
		t.Error("a delete:", res.Status, text)
	}
	fill() // including the space that the delete has freed
	if got := s.collection(); got.Error != "" || got.Last.Deleted.Blobs != 3 || got.Last.Deleted.Bytes < 128<<10 {
		t.Errorf("%+v %+v", got, got.Last)
	}
	if res, _ := s.ask(http.MethodGet, "/v2/r/manifests/kept", nil, ""); res.StatusCode != http.StatusOK {
		t.Error("a pull after the collection:", res.Status)
	}
}

// A collection that needs several cycles because the volume is full is one collection: it counts once, as succeeded, and
// its report covers all cycles.
func TestACollectionInSeveralCyclesIsOne(t *testing.T) {
	const unused = 100
	root := volumetest.Small(t, "size=16m,nr_inodes=4000")
	s := start(t, root, serve.Options{Collection: collect.Options{Untagged: true, Dwell: time.Millisecond}})
	s.becomesReady()
	for i := range unused {
		d, _, _ := s.upload(fmt.Appendf(nil, "layer %d", i))
		s.put("", ocispec.Manifest{Config: d})
	}
	s.age(root)
	for i := 0; ; i++ {
		if err := os.WriteFile(fmt.Sprint(root, "/filler", i), nil, 0o600); volume.Full(err) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	// Each manifest has a blob of its own, and so has its layer.
	if got := s.collection(); got.Error != "" || got.Last.Deleted.Revisions != unused || got.Last.Deleted.Blobs != 2*unused {
		t.Errorf("%+v %+v", got, got.Last)
	}
	want := `# HELP nfo_registry_collections_total Collections that have ended, by outcome: Succeeded, DryRun or Failed.
		# TYPE nfo_registry_collections_total counter
		nfo_registry_collections_total{outcome="Succeeded"} 1
	`
	if err := testutil.CollectAndCompare(s.Registry, strings.NewReader(want), "nfo_registry_collections_total"); err != nil {
		t.Error(err)
	}
}

func TestPullsGoOnFromAVolumeThatIsReadOnly(t *testing.T) {
	root := volumetest.Small(t, "size=8m")
	first := start(t, root, serve.Options{})
	first.becomesReady()
	layer, _, _ := first.upload([]byte("layer"))
	first.put("1", ocispec.Manifest{Config: layer})
	check(t, unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	s := start(t, root, serve.Options{})
	s.becomesReady()
	if s.gauge("nfo_registry_volume_ready") != 0 {
		t.Error("no metric tells that the volume is read-only")
	}
	for _, path := range []string{"manifests/1", "blobs/" + layer.Digest.String()} {
		if res, text := s.ask(http.MethodGet, "/v2/r/"+path, nil, ""); res.StatusCode != http.StatusOK {
			t.Errorf("a pull of %s: %s %.200s", path, res.Status, text)
		}
	}
}

func TestAnUploadThatFillsTheVolumeIsToldSo(t *testing.T) {
	root := volumetest.Small(t, "size=8m")
	s := start(t, root, serve.Options{})
	if _, status, text := s.upload(bytes.Repeat([]byte("y"), 16<<20)); status != http.StatusInsufficientStorage {
		t.Errorf("%d %s", status, text)
	}
}
