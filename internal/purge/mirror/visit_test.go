package mirror

import (
	"context"
	"testing"

	"github.com/opencontainers/go-digest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// refusing is a registry that has every digest and answers each request to delete one with an error.
type refusing struct {
	Registry
	err error
}

func (r refusing) Manifest(_ context.Context, _ string, x digest.Digest) (m registry.Manifest, err error) {
	m.Descriptor.Digest, m.Bytes = x, []byte("{}")
	return m, nil
}

func (r refusing) DeleteUnreferenced(context.Context, client.ObjectKey, string, digest.Digest) error {
	return r.err
}

// The bytes of a digest that was pushed again are not held: there is room for others that are deleted in the same wave.
func TestWhatStaysIsNotHeld(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err        error
		gone, held int
	}{{nil, 1, 2}, {registry.ErrProtected, 0, 0}} {
		from := refusing{err: tt.err}
		s := &sweeper{
			env:  Env{Registry: from},
			plan: &Plan{reader: reading.NewReader(from, clocktesting.NewFakePassiveClock(now), 1), seen: mirrored{Cluster: plan.Cluster{Store: aStore()}}},
		}
		v := &visited{repository: "r", graph: graph.Build(nil, nil), asked: map[digest.Digest]bool{d("a"): true}, kept: map[digest.Digest]bool{}, gone: [][]registry.Manifest{nil}}
		if err := s.deleteOne(t.Context(), v, d("a")); err != nil || len(v.gone[0]) != tt.gone || s.held != tt.held {
			t.Errorf("after %v: %d are deleted, and %d bytes are held: %v", tt.err, len(v.gone[0]), s.held, err)
		}
	}
}
