package workload

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/internal/workload"
)

// Handed are the readings for which manifests were last woken, by store.
type Handed struct {
	mu  sync.Mutex
	all map[types.UID]handedReading
}

// handedReading is a reading, the generation of its store, and the
// request to read at once that it answered; see v1alpha1.ReconcileNow.
type handedReading struct {
	generation int64
	reading    *workload.Reading
	now        string
}

// NewHanded makes an empty Handed.
func NewHanded() *Handed { return &Handed{all: map[types.UID]handedReading{}} }

func (t *Handed) of(store types.UID) handedReading {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[store]
}

func (t *Handed) set(store types.UID, r handedReading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.reading == nil {
		delete(t.all, store)
		return
	}
	t.all[store] = r
}
