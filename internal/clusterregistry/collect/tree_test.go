package collect

import (
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volumetest"
)

// quick are options with which everything that was not written just now is a candidate.
var quick = Options{Grace: time.Hour, Dwell: time.Millisecond}

// tree is a volume that a test fills and collects.
type tree struct{ *volumetest.Tree }

func newTree(t testing.TB, o volume.Options) *tree { return &tree{volumetest.New(t, o)} }

func (x *tree) collect(o Options) Report {
	x.T.Helper()
	r, err := Run(x.T.Context(), x.Volume, o)
	if err != nil {
		x.T.Fatal(err)
	}
	return r
}
