package plan

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

func TestUnresolvedIsBounded(t *testing.T) {
	t.Parallel()
	r := content{}.reading()
	for i := range 2 * v1alpha1.MaxUnresolved {
		r.Dangling = append(r.Dangling, digest.FromString(strings.Repeat("x", i)).Encoded()[:20])
	}
	c := clusterOf(t, unresolved("oldest", 20))
	r.Dangling = append(r.Dangling, "oldest")
	all := c.Unresolved(map[string]reading.Repository{repo: r})
	if len(all) != v1alpha1.MaxUnresolved || all[0].TagOrDigest != "oldest" {
		t.Errorf("%d are remembered, the first is %s; want %d, the oldest first", len(all), all[0].TagOrDigest, v1alpha1.MaxUnresolved)
	}
}
