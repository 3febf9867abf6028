package bench

import (
	"fmt"
	"testing"
	"time"
)

const (
	imagesBeside = 6 // of each manifest beside those that were released
	crowd        = 10_000
)

// BenchmarkCrowded measures the purge of a few digests in a namespace with few and with many other manifests, which
// the purge reads for each of its decisions, compared with the same requests to the registry from a bare client.
func BenchmarkCrowded(b *testing.B) {
	peer(b, "registry")
	for _, others := range []int{0, crowd} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			l := load{100, 10, 1, 0, 0}
			c := &contest{b: b, ctx: b.Context(), load: l, stand: newStand(b, l), rates: map[string][]float64{}, others: others}
			us, err := c.purge()
			must(b, err)
			bare, err := c.replay(c.registry.requests)
			must(b, err)
			fmt.Printf("purge of %d digests beside %d other manifests: %s, %.0f digests/s; the same requests to the registry from a bare client: %.0f digests/s; requests to the API server: %s\n",
				l.deletes(), others, c.took.Round(10*time.Millisecond), us, bare, c.api.times())
			b.ReportMetric(us, "digests/s")
			b.ReportMetric(us/bare, "of-bare")
			b.ReportMetric(0, "ns/op") // without meaning here
		})
	}
}
