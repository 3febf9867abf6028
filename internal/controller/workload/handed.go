package workload

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/internal/workload"
)

// Handed are the readings that manifests were woken for, by store.
type Handed struct {
	mu  sync.Mutex
	all map[types.UID]handedReading
}

// handedReading is one, the generation of the store that it is of, and what somebody wanted of it then; see
// v1alpha1.ReconcileNow.
type handedReading struct {
	generation int64
	reading    *workload.Reading
	now        string
}

// NewHanded makes a Handed of nothing.
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
