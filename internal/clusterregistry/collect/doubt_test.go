package collect

import (
	"testing"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// A manifest that cannot be understood and is pushed while the cycle waits must keep its repository.
func TestR3DoubtWhileACycleWaitsGivesTheRepositoryBack(t *testing.T) {
	t.Parallel()
	x := newTree(t, volume.Options{})
	one, loose := x.Image("a", "", "1", ""), x.Layer("a", "2").Digest
	kept := append(x.Files("a", "1", one), layout.LayerPath("a", loose), layout.BlobPath(loose), x.Put(layout.ReferrerPath("a", one, loose), "x"))
	gone := x.Files("b", "3", x.Image("b", "", "3", ""))
	x.Age()
	o := quick
	o.Untagged = true
	r, err := run(t.Context(), x.Volume, o, func(step, _ string) {
		if step == "waiting" {
			x.Manifest("a", "", map[string]any{"mediaType": "application/unknown"})
		}
	})
	if err != nil || r.NotUnderstoodCount != 1 {
		t.Error(r, err)
	}
	x.Must("", kept, gone)
}
