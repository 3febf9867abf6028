package usage

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

func TestUncollected(t *testing.T) {
	t.Parallel()
	last := func(used, uncollected int64) *v1alpha1.StoreUsage {
		return &v1alpha1.StoreUsage{Source: v1alpha1.UsageVolume, UsedBytes: used, UncollectedBytes: uncollected}
	}
	for _, tc := range []struct {
		reason string
		last   *v1alpha1.StoreUsage
		used   int64
		want   int64
	}{
		{"no purge yet", nil, 100, 0},
		{"measured in another way", &v1alpha1.StoreUsage{Source: v1alpha1.UsageAccounted, UsedBytes: 100, UncollectedBytes: 9}, 100, 0},
		{"the registry has not collected", last(100, 30), 100, 30},
		{"it has grown", last(100, 30), 120, 30},
		{"it has collected a part", last(100, 30), 90, 20},
		{"it has collected all, and more", last(100, 30), 10, 0},
	} {
		if got := uncollected(tc.last, v1alpha1.UsageVolume, tc.used); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.reason, got, tc.want)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 5 << 30: "5 GiB", math.MaxInt64: "8 EiB"} {
		if got := v1alpha1.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestVolume(t *testing.T) {
	t.Parallel()
	used, capacity, err := FileSystem(t.TempDir())
	if err != nil || used <= 0 || capacity < used {
		t.Errorf("%d of %d used, %v", used, capacity, err)
	}
	for name, path := range map[string]string{"nowhere": "", "missing": "/does/not/exist"} {
		if _, _, err := FileSystem(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What earlier purges deleted counts as free until the registry has collected it.
func TestUncollectedInTheRegistry(t *testing.T) {
	t.Parallel()
	const done = `"requested":7,"done":7`
	last := func(source v1alpha1.UsageSource, collection int64) *v1alpha1.StoreUsage {
		return &v1alpha1.StoreUsage{Source: source, UsedBytes: 100, UncollectedBytes: 30, Collection: collection}
	}
	for name, tc := range map[string]struct {
		reason string
		last   *v1alpha1.StoreUsage
		state  string
		used   string
		want   int64
	}{
		"None":      {"no purge yet", nil, done, "100", 0},
		"Other":     {"measured in another way", last(v1alpha1.UsageAccounted, 7), "", "100", 0},
		"Waiting":   {"the collection has not ended", last(v1alpha1.UsageRegistry, 7), `"requested":7,"done":6`, "100", 30},
		"Partly":    {"it runs, and has freed a part", last(v1alpha1.UsageRegistry, 7), `"requested":7,"done":6,"running":true`, "90", 20},
		"Ended":     {"exactly what is used counts, also where others have pushed meanwhile", last(v1alpha1.UsageRegistry, 7), done, "120", 0},
		"Later":     {"a later one did it as well", last(v1alpha1.UsageRegistry, 7), `"requested":9,"done":8`, "100", 0},
		"Failed":    {"it has freed nothing for certain", last(v1alpha1.UsageRegistry, 7), done + `,"error":"x"`, "90", 20},
		"DryRun":    {"the last one only looked, so that what the one before did is not known", last(v1alpha1.UsageRegistry, 7), `"requested":8,"done":8,"last":{"dryRun":true}`, "100", 30},
		"NotAsked":  {"the purge could not ask", last(v1alpha1.UsageRegistry, 0), done, "100", 30},
		"Forgotten": {"the registry's volume was replaced", last(v1alpha1.UsageRegistry, 7), "", "100", 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				body := `{"size":1000,"used":` + tc.used + `}`
				if r.URL.Path == "/nfo/v1/collection" {
					body = "{" + tc.state + "}"
				}
				_, _ = rw.Write([]byte(body))
			}))
			defer server.Close()
			c, err := registry.Open(registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: server.Listener.Addr().String()}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			u, store := Measurement{Source: v1alpha1.UsageRegistry}, aStore(func(s *v1alpha1.ArtifactStore) { s.Status.Usage = tc.last })
			if err := u.ask(t.Context(), c, store); err != nil || u.Uncollected != tc.want || u.Capacity != 1000 {
				t.Errorf("%s: %d of %d are uncollected, want %d; %v", tc.reason, u.Uncollected, u.Capacity, tc.want, err)
			}
		})
	}
}
