package plan

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/reference"
)

// clusterOf returns a cluster with objects, in the given order.
func clusterOf(t *testing.T, objects ...client.Object) Cluster {
	t.Helper()
	var stores []v1alpha1.ArtifactStore
	var tombstones []v1alpha1.Tombstone
	holders := reference.Snapshot{}
	for _, o := range objects {
		switch o := o.(type) {
		case *v1alpha1.ArtifactStore:
			stores = slices.DeleteFunc(stores, func(s v1alpha1.ArtifactStore) bool { return s.Name == o.Name }) // the last one counts
			stores = append(stores, *o)
		case *v1alpha1.Tombstone:
			tombstones = append(tombstones, *o)
		default:
			kind := reference.Self(o).Kind
			holders[kind] = append(holders[kind], o)
		}
	}
	c := NewCluster(reading.Objects{Begun: now, Now: now, Key: storeKey, Stores: stores, Holders: holders, Tombstones: tombstones, Definitions: known})
	if c.Refusal != nil {
		t.Fatalf("the store is refused: %v", c.Refusal)
	}
	return c
}

// content is the content of a repository. Tags and nodes are by name.
type content struct {
	tags     map[string]string
	indexes  map[string][]string // children
	subjects map[string]string
	missing  []string
	opaque   []string
	dangling []string
	err      error
}

func (c content) reading() reading.Repository {
	tags := map[string]digest.Digest{}
	for tag, name := range c.tags {
		tags[tag] = d(name)
	}
	var nodes []graph.Node
	for name, children := range c.indexes {
		nodes = append(nodes, graph.Node{Digest: d(name), Children: ds(children...)})
	}
	for name, subject := range c.subjects {
		nodes = append(nodes, graph.Node{Digest: d(name), Subject: d(subject)})
	}
	r := reading.Repository{Graph: graph.Build(tags, nodes), Missing: map[digest.Digest]bool{}, Opaque: map[digest.Digest]bool{}, Dangling: c.dangling, Err: c.err}
	for _, name := range c.opaque {
		r.Opaque[d(name)] = true
	}
	for _, name := range c.missing {
		r.Missing[d(name)] = true
	}
	return r
}
