package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	probeEvery = 10 * time.Second
	// probeAge is how old the last good probe may be: one that hangs is noticed after it.
	probeAge = 35 * time.Second
)

// prober tries the volume again and again. One try at a time: on a network file system whose server is away it
// hangs, and cannot be ended.
type prober struct {
	// probe is an error if the content cannot be served, or nothing can be written.
	probe func() error
	log   *slog.Logger
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
		p.note(&probed{at: began, err: p.probe()})
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
		}
	}
}

// note keeps what a try has found, and logs it if the last one found something else.
func (p *prober) note(found *probed) {
	before := p.last.Swap(found)
	failed := before != nil && before.err != nil
	switch worse := failed && volume.Unwritable(before.err) != volume.Unwritable(found.err); {
	case found.err != nil && (!failed || worse):
		p.log.Error("the volume does not do what the registry needs", "pullsGoOn", volume.Unwritable(found.err), "error", found.err)
	case found.err == nil && failed:
		p.log.Info("the volume does what the registry needs again")
	}
}

// ready is nil while the content can be served, also if nothing can be written.
func (p *prober) ready(now time.Time) error {
	if err := p.works(now); !volume.Unwritable(err) {
		return err
	}
	return nil
}

// works is nil while the volume does all that the registry needs.
func (p *prober) works(now time.Time) error {
	last := p.last.Load()
	switch {
	case last == nil:
		return errors.New("the volume has not answered yet")
	case now.Sub(last.at) > probeAge:
		return fmt.Errorf("the volume has not answered since %s", last.at.UTC().Format(time.RFC3339))
	}
	return last.err
}
