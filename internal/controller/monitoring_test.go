package controller

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nfo-operator/nfo/internal/journal"
)

// The files of the Helm chart that read metrics.
const (
	alertsFile    = "../../charts/nfo/templates/alerts.yaml"
	dashboardFile = "../../charts/nfo/dashboards/nfo.json"
)

// othersMetrics are the metrics of the API server, the leader
// election and controller-runtime that alerts and dashboard read.
var othersMetrics = []string{
	"apiserver_admission_webhook_rejection_count", "controller_runtime_reconcile_errors_total", "leader_election_master_status", "workqueue_depth",
}

func text(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// described returns the names of a collector's metrics. A histogram has three.
func described(c prometheus.Collector) map[string]bool {
	all := make(chan *prometheus.Desc, 100)
	c.Describe(all)
	close(all)
	names, name := map[string]bool{}, regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range all {
		base := name.FindStringSubmatch(d.String())[1]
		names[base] = true
		if strings.HasSuffix(base, "_seconds") {
			names[base+"_bucket"], names[base+"_count"], names[base+"_sum"] = true, true, true
		}
	}
	return names
}

// An alert or a panel on a metric that does not exist would stay silent for ever.
func TestAlertsAndDashboardReadMetricsThatExist(t *testing.T) {
	t.Parallel()
	j, err := journal.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	known := described(j)
	for name := range described(&storeMetrics{}) {
		known[name] = true
	}
	metric := regexp.MustCompile(`\b(nfo|apiserver|controller_runtime|leader_election|workqueue)_[a-z_]+`)
	for _, file := range []string{alertsFile, dashboardFile} {
		names := metric.FindAllString(text(t, file), -1)
		if len(names) < 8 {
			t.Errorf("%s reads %v", file, names)
		}
		for _, name := range names {
			if strings.HasPrefix(name, "nfo_registry_") { // internal/clusterregistry/serve has a test for these
				continue
			}
			if !known[name] && !slices.Contains(othersMetrics, name) {
				t.Errorf("%s reads %s, which does not exist", file, name)
			}
		}
	}
}

// The dashboard must show the metrics that it was made for.
func TestTheDashboardShowsWhatIsDone(t *testing.T) {
	t.Parallel()
	shown := text(t, dashboardFile)
	for _, name := range []string{
		"nfo_store_used_bytes", "nfo_store_reclaimable_bytes", "nfo_releases_total", "nfo_tags_restored_total", "nfo_refusals_total", "nfo_purges_total",
		"nfo_lane_wait_seconds_bucket", "nfo_store_requests_total", "nfo_polls_total",
	} {
		if !strings.Contains(shown, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// A controller whose errors no alert covers would fail silently.
func TestAlertsSeeTheErrorsOfEveryController(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var controllers []string
	named := regexp.MustCompile(`\.Named\("([^"]+)"\)`)
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go") {
			for _, m := range named.FindAllStringSubmatch(text(t, f.Name()), -1) {
				controllers = append(controllers, m[1])
			}
		}
	}
	seen := regexp.MustCompile(`controller=~"([^"]+)"`).FindStringSubmatch(text(t, alertsFile))
	if seen == nil || len(controllers) < 8 {
		t.Fatalf("the alert sees %v of the controllers %v", seen, controllers)
	}
	alert := strings.Split(seen[1], "|")
	slices.Sort(alert)
	slices.Sort(controllers)
	if !slices.Equal(alert, controllers) {
		t.Errorf("the alert sees the errors of %v; the controllers are %v", alert, controllers)
	}
}
