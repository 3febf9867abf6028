package workload

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/internal/workload"
)

// Told are the readings that manifests were woken for, by store.
type Told struct {
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

// NewTold makes a Told of nothing.
func NewTold() *Told { return &Told{all: map[types.UID]handedReading{}} }

func (t *Told) of(store types.UID) handedReading {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[store]
}

func (t *Told) set(store types.UID, r handedReading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.reading == nil {
		delete(t.all, store)
		return
	}
	t.all[store] = r
}
