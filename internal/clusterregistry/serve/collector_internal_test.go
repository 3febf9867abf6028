package serve

import (
	"log/slog"
	"sync"
	"testing"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// Several processes on one volume change the state of collections at the same time. None may
// overwrite what another one has written: a purge would wait for a collection that has ended.
func TestProcessesShareTheStateOfCollections(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var all sync.WaitGroup
	const processes, changes = 3, 50
	for range processes {
		v, err := volume.Open(root, volume.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := &collector{volume: v, log: slog.New(slog.DiscardHandler), wake: make(chan request, 1)}
		all.Go(func() {
			for range changes {
				if _, err := c.ask(request{}); err != nil {
					t.Error(err)
				}
				if err := c.change(func(s *State) { s.Done++ }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	v, err := volume.Open(root, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&collector{volume: v}).read()
	if err != nil || got.Requested != processes*changes || got.Done != processes*changes {
		t.Errorf("after %d requests and as many ends the state is %+v, %v", processes*changes, got, err)
	}
}
