package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

func TestManagerUsage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		cfg    func(*managerConfig)
		says   string
	}{
		"NoPolls":     {"nothing would ever be seen", func(c *managerConfig) { c.PollsPerSecond = 0 }, "--registry-polls-per-second is 0"},
		"NoPort":      {"0 means none, less means nothing", func(c *managerConfig) { c.webhookPort = -1 }, "--webhook-port is -1"},
		"Namespace":   {"no namespace has that name", func(c *managerConfig) { c.Watched = []string{"a", "B"} }, `--watch-namespaces has "B"`},
		"ChartCPU":    {"no chart could be read", func(c *managerConfig) { c.charts.CPU = 0 }, "--chart-cpu is 0s"},
		"ChartMemory": {"no chart could be read", func(c *managerConfig) { c.charts.Memory = 1 << 20 }, "--chart-memory is 1048576 bytes"},
		"PortOver":    {"no such port", func(c *managerConfig) { c.webhookPort = 65536 }, "--webhook-port is 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := managerConfig{webhookPort: 9443}
			cfg.PollsPerSecond, cfg.charts = 5, chart.Limits{CPU: chart.DefaultCPU, Memory: chart.DefaultMemory}
			tc.cfg(&cfg)
			if err := runManager(t.Context(), &rest.Config{}, cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: the error is %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}

func TestMemoryLimit(t *testing.T) { // not parallel: the limit is that of the whole process
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for name, tc := range map[string]struct {
		reason, container, runtime string
		want                       int64
		says                       string
	}{
		"Limit":    {"garbage is collected before the container is killed", "1000000000", "", 720_000_000, ""},
		"Half":     {"the cache needs some of it", "300000000", "", 135_000_000, ""},
		"NoLimit":  {"nothing is known outside a cluster", "", "", before, ""},
		"Override": {"the runtime has read its own variable when it started", "1000000000", "2GiB", before, ""},
		"NoNumber": {"the Deployment is wrong", "512Mi", "", before, "NFO_CONTAINER_MEMORY"},
	} {
		t.Run(name, func(t *testing.T) {
			debug.SetMemoryLimit(before)
			t.Setenv(containerMemory, tc.container)
			t.Setenv(cronjob.MemoryVariable, tc.runtime)
			err := limitMemory(200_000_000)
			if (err == nil) != (tc.says == "") || (err != nil && !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%s: the error is %v, want %q", tc.reason, err, tc.says)
			}
			if got := debug.SetMemoryLimit(-1); got != tc.want {
				t.Errorf("%s: the limit is %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

func TestWebhooksAreServedByDefault(t *testing.T) {
	t.Parallel()
	port := newManagerCommand().Flags().Lookup("webhook-port")
	if port == nil || port.DefValue != "9443" { // the Deployment's container port
		t.Errorf("the flag is %+v", port)
	}
}

func TestAListOfPlacesThatIsWrongEndsTheManagerAtItsStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "places.yaml")
	if err := os.WriteFile(file, []byte("places: [{registry: r.example.com, namespace: [a]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{file: `unknown field "namespace"`, file + ".missing": "no such file"} {
		cfg := managerConfig{webhookPort: 9443, places: name}
		cfg.PollsPerSecond, cfg.Purger.Resources, cfg.charts = 5, cronjob.DefaultResources(), chart.Limits{CPU: chart.DefaultCPU, Memory: chart.DefaultMemory}
		if err := runManager(t.Context(), &rest.Config{}, cfg); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), file) {
			t.Errorf("the error is %v, want %q and the file's name", err, says)
		}
	}
}

func TestManagerRefusesWrongPlatforms(t *testing.T) {
	t.Parallel()
	cmd := newManagerCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs([]string{"--mirror-platforms", "arm64"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), `for "--mirror-platforms" flag: "arm64" is not a platform`) {
		t.Errorf("the error is %v", err)
	}
}
