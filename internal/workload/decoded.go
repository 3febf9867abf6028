package workload

import (
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart/record"
)

const (
	// maxDecoded bounds the memory of all results, in bytes. A release with 20 images takes 4 KiB.
	maxDecoded = 16 << 20
	// resultBytes and imageBytes are what a result and an image take beside their texts, in bytes, rounded up.
	resultBytes, imageBytes = 256, 48
	// decodedFor is how long a result stays after its last use. A reading every 10 minutes uses it.
	decodedFor = time.Hour
)

// decodedRecords remembers the results of release records, which never change, so that only new ones are decoded. It
// is bounded: what has no room is decoded every time. It is safe for concurrent use.
type decodedRecords struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	results map[recordID]*decodedRecord
	bytes   int
	// swept is when results that were not used were dropped last.
	swept time.Time
}

// recordID is one version of one Secret. Another one of the same name has another identity.
type recordID struct {
	uid     types.UID
	version string
}

type decodedRecord struct {
	record.Result
	bytes int
	used  time.Time
}

func newDecodedRecords(c clock.PassiveClock) *decodedRecords {
	return &decodedRecords{clock: c, results: map[recordID]*decodedRecord{}}
}

// get returns the result of a record.
func (d *decodedRecords) get(uid types.UID, version string) (record.Result, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.results[recordID{uid, version}]
	if r == nil {
		return record.Result{}, false
	}
	r.used = d.clock.Now()
	return r.Result, true
}

// put remembers the result of a record, if there is room.
func (d *decodedRecords) put(uid types.UID, version string, of record.Result) {
	id, r := recordID{uid, version}, &decodedRecord{Result: of, bytes: resultBytes + len(uid) + len(version) + len(of.Release.Name) + len(of.Release.Status)}
	for _, i := range of.Release.Images {
		r.bytes += imageBytes + len(i.Reference) + len(i.Hook)
	}
	if of.Err != nil {
		r.Err = errors.New(v1alpha1.Clip(of.Err.Error(), maxCause))
		r.bytes += len(r.Err.Error())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r.used = d.clock.Now()
	if d.bytes+r.bytes > maxDecoded {
		d.sweep(r.used)
	}
	if uid == "" || version == "" || d.results[id] != nil || d.bytes+r.bytes > maxDecoded {
		return
	}
	d.results[id] = r
	d.bytes += r.bytes
}

// sweep drops what has not been used for a while, at most once a minute.
func (d *decodedRecords) sweep(now time.Time) {
	if now.Sub(d.swept) < time.Minute {
		return
	}
	d.swept = now
	for id, r := range d.results {
		if now.Sub(r.used) >= decodedFor {
			delete(d.results, id)
			d.bytes -= r.bytes
		}
	}
}
