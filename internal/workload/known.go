package workload

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/batch"
)

// Known keeps the last reading of each store. It may be out of date: use it to refuse,
// to wait and to report, never to release. It is safe for concurrent use.
type Known struct {
	reader *Reader
	reads  batch.Reads[readKey, *Reading]
	// limit bounds first the time that a reading waits for its turn, then the time that it takes.
	limit time.Duration

	// Differs, if not nil, is called if a reading is complete and the store's status says the opposite. It must not block.
	Differs func(*v1alpha1.ArtifactStore)

	mu   sync.Mutex
	last map[types.UID]lastReading
}

// readKey identifies a store with its current selection.
type readKey struct {
	store      types.UID
	generation int64
}

type lastReading struct {
	namespace  string
	generation int64
	reading    *Reading
	took       time.Duration
}

// ErrSlow is wrapped when a reading takes longer than its caller waits.
var ErrSlow = errors.New("reading what workloads run takes too long to wait for it")

// NewKnown returns an empty Known.
func NewKnown(r *Reader) *Known {
	k := &Known{reader: r, limit: time.Minute, last: map[types.UID]lastReading{}}
	k.reads.Limit = 3 * k.limit // more than a reading takes, so that it always ends and says which sources it had no time for
	return k
}

// Live returns a reading from lists that begin after the call. Callers that wait for the same store share one reading.
func (k *Known) Live(ctx context.Context, s *v1alpha1.ArtifactStore) (*Reading, error) {
	if s.Spec.Workloads == nil {
		return nil, nil //nolint:nilnil // a nil Reading is one, of nothing
	}
	s = s.DeepCopy() // a reading continues when its caller has given up
	return k.reads.Do(ctx, readKey{s.UID, s.Generation}, func(ctx context.Context) (*Reading, error) {
		begun := k.reader.clock.Now()
		of := selection(s)
		of.most, of.limit = func() int { return k.room(s) }, k.limit
		r, err := k.reader.read(ctx, of)
		if err == nil {
			if k.Differs != nil && (r.Unreadable() != nil) != (s.Status.Workloads.Unreadable() != "") {
				defer k.Differs(s)
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			maps.DeleteFunc(k.last, func(_ types.UID, a lastReading) bool { return k.reader.clock.Since(a.reading.Begun) > keptFor })
			if have := k.last[s.UID]; have.generation <= s.Generation {
				k.last[s.UID] = lastReading{s.Namespace, s.Generation, r, k.reader.clock.Since(begun)}
			}
		}
		return r, err
	})
}

// room returns how many bytes a reading of a store may keep: the bound of one store minus what the other stores of its
// namespace keep, and at least an equal share of the bound.
func (k *Known) room(s *v1alpha1.ArtifactStore) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	sharers, left := 1, mostOfStore
	for uid, a := range k.last {
		if a.namespace == s.Namespace && uid != s.UID {
			sharers++
			left -= a.reading.bytes
		}
	}
	return max(left, mostOfStore/sharers)
}

// keptFor is how long a reading is kept that no newer one has
// replaced, because its store was deleted or has no more callers.
const keptFor = time.Hour

// youngEnough is the maximum age of a reading that Within returns instead of waiting for a new one.
const youngEnough = time.Minute

// Within is Live with a bound on the waiting time. If the last reading took longer than that, Within returns the last
// reading while that is young, and starts a new one in the background for the next caller. Errors wrap ErrSlow.
func (k *Known) Within(ctx context.Context, s *v1alpha1.ArtifactStore, patience time.Duration) (*Reading, error) {
	k.mu.Lock()
	last := k.last[s.UID]
	k.mu.Unlock()
	if last.took > patience {
		go func() { _, _ = k.Live(context.WithoutCancel(ctx), s) }() // the result is in last, unless the reading failed
		if last.generation == s.Generation && k.reader.clock.Since(last.reading.Begun) < youngEnough {
			return last.reading, nil
		}
		return nil, ErrSlow
	}
	limited, cancel := context.WithTimeoutCause(ctx, patience, ErrSlow)
	defer cancel()
	r, err := k.Live(limited, s)
	if err != nil && limited.Err() != nil {
		return nil, context.Cause(limited)
	}
	return r, err
}

// Last returns the last reading of a store if it was made with the store's current selection, else nil with known
// false. For a store that selects nothing it returns nil with known true.
func (k *Known) Last(s *v1alpha1.ArtifactStore) (r *Reading, known bool) {
	if s.Spec.Workloads == nil {
		return nil, true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	have, ok := k.last[s.UID]
	if !ok || have.generation != s.Generation {
		return nil, false
	}
	return have.reading, true
}

// Forget drops the last reading of a store.
func (k *Known) Forget(store types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.last, store)
}
