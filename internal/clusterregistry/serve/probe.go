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

func (p *prober) run(ctx context.Context) {
	results := make(chan probed, 1)
	try := func() {
		began := time.Now()
		results <- probed{at: began, err: p.probe()}
	}
	go try()
	for {
		select {
		case <-ctx.Done():
			return
		case result := <-results:
			p.last.Store(&result)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
			go try()
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
