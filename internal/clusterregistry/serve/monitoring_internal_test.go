package serve

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// An alert or a panel on a metric that does not exist would stay silent forever.
func TestAlertsAndDashboardReadMetricsOfTheRegistryThatExist(t *testing.T) {
	t.Parallel()
	all := make(chan *prometheus.Desc, 100)
	(&Registry{counters: newCounters()}).Describe(all)
	close(all)
	var known strings.Builder
	for d := range all {
		known.WriteString(d.String())
	}
	for _, file := range []string{"../../../charts/nfo/templates/alerts.yaml", "../../../charts/nfo/dashboards/nfo.json"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bnfo_registry_[a-z_]+`).FindAllString(string(b), -1)
		if len(names) == 0 {
			t.Errorf("%s reads nothing of the registry", file)
		}
		for _, name := range names {
			if !strings.Contains(known.String(), `fqName: "`+name+`"`) {
				t.Errorf("%s reads %s, which does not exist", file, name)
			}
		}
	}
}
