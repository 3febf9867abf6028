package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/share"
)

// Bounds of what one process reads from registries at the same time. A body is counted from before it is read
// until it is decoded; what is decoded from it takes up to about 4 times its bytes.
const (
	// maxBodies is how many bytes of bodies are read and decoded at the same time, over all registries.
	maxBodies = 32 << 20
	// maxLongLists is how many lists of more than manyEntries entries are read at the same time,
	// over all registries. Each has at most decode.MaxEntries entries and decode.MaxListBytes bytes.
	maxLongLists = 4
	// budgetTimeout bounds how long an answer waits for its share of the budget.
	budgetTimeout = 30 * time.Second
	// bodyTimeout bounds how long the body of one answer may take. A registry
	// that sends its bytes slowly thus returns its share to the others.
	bodyTimeout = time.Minute
	// ListTimeout bounds how long a long list may take, all of its pages together.
	ListTimeout = 5 * time.Minute
)

var (
	errBusy     = errors.New("too much is being read from registries at the same time; nfo retries later")
	errSlowBody = errors.New("the registry sends its answer too slowly")
)

// Budget bounds the memory that reading from registries takes: 32 MiB of bodies and 4 long lists at
// the same time. Clients that share a budget share these bounds. Each tenant can use only a part of
// them, so that no tenant's registry can use up the whole budget. It is safe for concurrent use.
type Budget struct{ bodies, lists *quota }

// NewBudget makes a budget of which one tenant uses at most a fraction of 1/parts, and at least one long list.
func NewBudget(parts int64) *Budget {
	return &Budget{
		bodies: newQuota(maxBodies, maxBodies/parts),
		lists:  newQuota(maxLongLists, max(1, maxLongLists/parts)),
	}
}

// quota is an amount that tenants share. No tenant uses more than its part.
type quota struct {
	total   *semaphore.Weighted
	part    int64
	tenants *share.Shares[string, *semaphore.Weighted] // the tenants that have or wait for a share
}

func newQuota(total, part int64) *quota {
	return &quota{semaphore.NewWeighted(total), part, share.New[string](func() *semaphore.Weighted { return semaphore.NewWeighted(part) })}
}

// take waits until a tenant may use n, or its whole part if n is more, and returns a function that
// gives the amount back. It fails with the error of ctx. A caller that waits for the total holds an
// amount of its tenant's part and nothing of the total, so that no two callers wait for each other.
func (q *quota) take(ctx context.Context, name string, n int64) (release func(), err error) {
	n = min(n, q.part)
	part, done := q.tenants.Take(name)
	if err := part.Acquire(ctx, n); err != nil {
		done()
		return nil, err
	}
	if err := q.total.Acquire(ctx, n); err != nil {
		part.Release(n)
		done()
		return nil, err
	}
	return func() {
		q.total.Release(n)
		part.Release(n)
		done()
	}, nil
}

// reserve takes n of a quota for this client's tenant. It
// waits for at most budgetTimeout. Errors wrap ErrUnavailable.
func (c *Client) reserve(ctx context.Context, q *quota, n int64) (release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, budgetTimeout)
	defer cancel()
	if release, err = q.take(waiting, c.tenant, n); err != nil {
		return nil, c.Fail(failure.ErrUnavailable, fmt.Errorf("%w: %w", errBusy, err))
	}
	return release, nil
}

// ReserveList reserves one long list of the budget for this client's tenant; see reserve.
func (c *Client) ReserveList(ctx context.Context) (release func(), err error) {
	return c.reserve(ctx, c.budget.lists, 1)
}
