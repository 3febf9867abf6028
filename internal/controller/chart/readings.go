package chart

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
)

// Readings are the readings of charts that are in no status yet, by manifest.
type Readings struct {
	mu sync.Mutex
	of map[types.UID]Reading
}

// Reading is the reading of one manifest's charts.
type Reading struct {
	Charts map[inventory.Entry]v1alpha1.ChartStatus
	// Trouble is why a chart could not be read; reading it is retried.
	Trouble error
}

// NewReadings makes an empty Readings.
func NewReadings() *Readings { return &Readings{of: map[types.UID]Reading{}} }

// put stores the reading of a chart, if it was read, and why not all charts of the manifest could be read this time.
func (r *Readings) put(uid types.UID, c v1alpha1.ChartStatus, wasRead bool, trouble error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	charts := map[inventory.Entry]v1alpha1.ChartStatus{}
	for k, v := range r.of[uid].Charts { // others may be using the old map
		charts[k] = v
	}
	if wasRead {
		charts[inventory.Entry{Name: c.ArtifactName, Version: c.ArtifactVersion}] = c
	}
	r.of[uid] = Reading{charts, trouble}
}

// Get returns the readings of a manifest's charts that are not in its status.
func (r *Readings) Get(uid types.UID) Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[uid]
}

// Over returns the reading and, for charts that it does not have, what was recorded.
func (r Reading) Over(recorded []v1alpha1.ChartStatus) map[inventory.Entry]v1alpha1.ChartStatus {
	all := map[inventory.Entry]v1alpha1.ChartStatus{}
	for _, c := range recorded {
		all[inventory.Entry{Name: c.ArtifactName, Version: c.ArtifactVersion}] = c
	}
	for k, c := range r.Charts {
		all[k] = c
	}
	return all
}

// Written drops the readings that are now in the manifest's status.
func (r *Readings) Written(m *v1alpha1.ArtifactManifest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.of[m.UID]
	if !ok {
		return
	}
	left := map[inventory.Entry]v1alpha1.ChartStatus{}
	stored := Reading{}.Over(m.Status.Charts)
	for k, c := range have.Charts {
		if stored[k].Digest != c.Digest || stored[k].Reader != c.Reader {
			left[k] = c
		}
	}
	if r.of[m.UID] = (Reading{left, have.Trouble}); len(left) == 0 && have.Trouble == nil {
		delete(r.of, m.UID)
	}
}

// Forget drops the readings of a manifest that no longer exists, or has no charts.
func (r *Readings) Forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, uid)
}
