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

// Known keeps the last reading of each store. It may lag behind: use it to refuse, to wait and to report, never to
// release. It is safe for concurrent use.
type Known struct {
	reader *Reader
	reads  batch.Reads[question, *Reading]
	// limit bounds how long a reading waits for its turn, and then how long it takes.
	limit time.Duration

	// Differs, when not nil, is called when another source can be read than the store's status says, or cannot. It does not wait.
	Differs func(*v1alpha1.ArtifactStore)

	mu   sync.Mutex
	last map[types.UID]answered
}

// question is a store as it selects.
type question struct {
	store      types.UID
	generation int64
}

type answered struct {
	namespace  string
	generation int64
	reading    *Reading
	took       time.Duration
}

// ErrSlow is wrapped where a reading takes longer than its reader waits.
var ErrSlow = errors.New("reading what workloads run takes too long to wait for it")

// NewKnown makes a Known that knows nothing yet.
func NewKnown(r *Reader) *Known {
	k := &Known{reader: r, limit: time.Minute, last: map[types.UID]answered{}}
	k.reads.Limit = 3 * k.limit // so that a reading always says which of its sources it had no time for
	return k
}

// Live reads, from lists that begin after Live is called. Those that wait for the same store share one reading.
func (k *Known) Live(ctx context.Context, s *v1alpha1.ArtifactStore) (*Reading, error) {
	if s.Spec.Workloads == nil {
		return nil, nil //nolint:nilnil // a nil Reading is one, of nothing
	}
	s = s.DeepCopy() // a reading goes on when who asked for it has given up
	return k.reads.Do(ctx, question{s.UID, s.Generation}, func(ctx context.Context) (*Reading, error) {
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
			maps.DeleteFunc(k.last, func(_ types.UID, a answered) bool { return k.reader.clock.Since(a.reading.Begun) > keptFor })
			if have := k.last[s.UID]; have.generation <= s.Generation {
				k.last[s.UID] = answered{s.Namespace, s.Generation, r, k.reader.clock.Since(begun)}
			}
		}
		return r, err
	})
}

// room is how many bytes a reading of a store may keep: what the other stores of its namespace leave of what one may, and at
// least an equal share.
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

// keptFor is how long a reading is kept that no other one has replaced: its store has gone, or nobody asks any more.
const keptFor = time.Hour

// youngEnough is the age up to which a reading serves somebody who does not wait for another one.
const youngEnough = time.Minute

// Within is Live for somebody who waits no longer than that. Where the last reading took longer, it answers with that one
// while it is young, and begins another one for who asks next. Errors wrap ErrSlow.
func (k *Known) Within(ctx context.Context, s *v1alpha1.ArtifactStore, patience time.Duration) (*Reading, error) {
	k.mu.Lock()
	last := k.last[s.UID]
	k.mu.Unlock()
	if last.took > patience {
		go func() { _, _ = k.Live(context.WithoutCancel(ctx), s) }() // it is in last, or was not read
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

// Last is the last reading of a store as it selects now; nil if there was none. known is false then, unless it selects
// nothing.
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

// Forget drops what is known of a store.
func (k *Known) Forget(store types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.last, store)
}
