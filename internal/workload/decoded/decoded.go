// Package decoded remembers the results of decoding release records, so that each record is decoded once.
//
// Contract: a record never changes, so its result never expires. The memory of all results is bounded. If it is full,
// results of the namespace with the most are dropped, and dropped records are decoded at every reading.
package decoded

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/internal/chart/record"
	"github.com/nfo-operator/nfo/internal/weight"
)

const (
	// most bounds the memory of all results, in bytes. A release with 20 images takes 4 KiB.
	most = 16 << 20
	// resultBytes and imageBytes are the memory of a result and of
	// an image in addition to their strings, in bytes, rounded up.
	resultBytes, imageBytes = 256, 48
	// unusedFor is how long an unused result may be kept. A reading every 10 minutes uses its results.
	unusedFor = time.Hour
)

// Records has the results of release records, including those that cannot be decoded. It is safe for concurrent use.
type Records struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	results map[string]map[ID]*result // by namespace
	bytes   weight.Weights[string]
	// swept is the time when unused results were last dropped.
	swept time.Time
}

// ID identifies one version of one Secret. A new Secret with the same name has another ID.
type ID struct {
	UID     types.UID
	Version string
}

type result struct {
	record.Result
	bytes int
	used  time.Time
}

// New returns empty Records.
func New(c clock.PassiveClock) *Records {
	return &Records{clock: c, results: map[string]map[ID]*result{}}
}

// Get returns the result of a record in a Secret of a namespace, and reports whether there is one.
func (d *Records) Get(namespace string, id ID) (record.Result, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.results[namespace][id]
	if r == nil {
		return record.Result{}, false
	}
	r.used = d.clock.Now()
	return r.Result, true
}

// Put remembers the result of a record. If the memory is full, it drops results of the
// namespace with the most, or the new result if that is of this namespace.
func (d *Records) Put(namespace string, id ID, of record.Result) {
	r := &result{Result: of, bytes: resultBytes + len(id.UID) + len(id.Version) + len(of.Release.Name) + len(of.Release.Status)}
	for _, i := range of.Release.Images {
		r.bytes += imageBytes + len(i.Reference) + len(i.Hook)
	}
	if of.Err != nil {
		r.bytes += len(of.Err.Error())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.used = d.clock.Now(); id.UID == "" || id.Version == "" || d.results[namespace][id] != nil {
		return
	}
	if d.bytes.All()+r.bytes > most {
		d.sweep(r.used)
	}
	if d.results[namespace] == nil {
		d.results[namespace] = map[ID]*result{}
	}
	d.results[namespace][id] = r
	d.bytes.Add(namespace, r.bytes)
	for d.bytes.All() > most {
		heaviest := d.bytes.Heaviest()
		if heaviest == namespace {
			d.drop(namespace, id)
			return
		}
		for one := range d.results[heaviest] {
			d.drop(heaviest, one)
			break
		}
	}
}

func (d *Records) drop(namespace string, id ID) {
	d.bytes.Add(namespace, -d.results[namespace][id].bytes)
	if delete(d.results[namespace], id); len(d.results[namespace]) == 0 {
		delete(d.results, namespace)
	}
}

// sweep drops results that were not used for unusedFor, at most once a minute.
func (d *Records) sweep(now time.Time) {
	if now.Sub(d.swept) < time.Minute {
		return
	}
	d.swept = now
	for namespace, results := range d.results {
		for id, r := range results {
			if now.Sub(r.used) >= unusedFor {
				d.drop(namespace, id)
			}
		}
	}
}
