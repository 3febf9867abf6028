package serve

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	probeEvery = 10 * time.Second
	// probeAge is how old the last good probe may be: one that hangs is noticed after it.
	probeAge = 35 * time.Second
)

// prober tries the volume again and again. One try at a time: on a network file system whose server is away it
// hangs, and cannot be ended.
type prober struct {
	// probe is an error if the content cannot be served.
	probe func() error
	last  atomic.Pointer[probed]
}

type probed struct {
	at  time.Time
	err error
}

// run ends once ctx has ended and the try under way has: what a try writes is gone then. A caller must
// not wait without end, because a try can hang.
func (p *prober) run(ctx context.Context) {
	for {
		began := time.Now()
		p.last.Store(&probed{at: began, err: p.probe()})
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
		}
	}
}

func (p *prober) ready(now time.Time) error {
	last := p.last.Load()
	switch {
	case last == nil:
		return errors.New("the volume has not answered yet")
	case last.err != nil:
		return last.err
	case now.Sub(last.at) > probeAge:
		return fmt.Errorf("the volume has not answered since %s", last.at.UTC().Format(time.RFC3339))
	}
	return nil
}
