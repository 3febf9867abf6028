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
	// probeAge is the maximum age of the last probe. A probe that hangs is noticed after this time.
	probeAge = 35 * time.Second
)

// prober probes the volume regularly, with one probe at a time: on a network file
// system whose server is unreachable a probe hangs, and cannot be cancelled.
type prober struct {
	// probe returns an error if the content cannot be served, or nothing can be written.
	probe func() error
	log   *slog.Logger
	last  atomic.Pointer[probed]
}

type probed struct {
	at  time.Time
	err error
}

// run probes until ctx ends, and returns after the probe that is running, which removes the files that it writes. A
// caller must not wait without limit, because a probe can hang.
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

// note stores the result of a probe, and logs it if it differs from the previous result.
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

// ready returns nil while the content can be served, even if nothing can be written.
func (p *prober) ready(now time.Time) error {
	if err := p.works(now); !volume.Unwritable(err) {
		return err
	}
	return nil
}

// works returns nil while the volume does everything that the registry needs.
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
