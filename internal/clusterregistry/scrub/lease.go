package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	leasePath = volume.Scrub + "/lease"
	// maxLease bounds the size of the lease's file, in bytes.
	maxLease = 256
	// renewal is the interval at which the holder renews the lease, and at which others check it.
	renewal = 30 * time.Second
	// expiry is the age, by the volume's clock, after which a lease is taken over. Twice Volume.Stale is added to it,
	// because a process may see an outdated time.
	expiry = 5 * time.Minute
)

// ErrTaken means that another process has taken the lease over, or
// has taken it at the same time. The next Run waits for that process.
var ErrTaken = errors.New("another process goes on with the scrub: this one did not renew its lease in time, or took it at the same time")

// lease is the right to read the volume until another process takes it over.
type lease struct {
	volume *volume.Volume
	holder string
}

// acquire waits until no other process holds the lease, and takes it.
func acquire(ctx context.Context, v *volume.Volume, holder string) (*lease, error) {
	l := &lease{volume: v, holder: holder}
	for {
		free, err := l.free()
		if err != nil {
			return nil, err
		}
		if free {
			// If two processes take the lease at once, the one that wrote first
			// notices this when it renews the lease. A power cut may lose the lease.
			if err := v.Write(leasePath, []byte(holder), true); err != nil {
				return nil, fmt.Errorf("taking the lease of the scrub: %w", err)
			}
			return l, nil
		}
		if err := wait(ctx, time.Now().Add(renewal)); err != nil {
			return nil, err
		}
	}
}

// free reports whether this process may take the lease: it holds
// the lease already, the lease is missing, or it has expired.
func (l *lease) free() (bool, error) {
	info, err := l.volume.Stat(leasePath)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	now, err := l.volume.Now()
	if err != nil {
		return false, err
	}
	// A time far in the future means that the clock was set back after it.
	age := now.Sub(info.ModTime())
	return age.Abs() > expiry+2*l.volume.Stale() || l.holds(), nil
}

func (l *lease) holds() bool {
	content, err := l.volume.ReadFile(leasePath, maxLease)
	return err == nil && string(content) == l.holder
}

// keep renews the lease until release is called. held ends with ErrTaken when another process has taken the lease.
func (l *lease) keep(ctx context.Context) (held context.Context, release func()) {
	held, end := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for wait(held, time.Now().Add(renewal)) == nil {
			if !l.renew() {
				end(ErrTaken)
			}
		}
	}()
	return held, func() {
		end(context.Canceled)
		<-ended
		l.giveUp()
	}
}

// renew renews the lease, and reports whether this process still holds it. A read error does not count as a loss.
func (l *lease) renew() bool {
	content, err := l.volume.ReadFile(leasePath, maxLease)
	if err == nil && string(content) == l.holder {
		err = l.volume.Touch(leasePath)
		return err == nil || !errors.Is(err, fs.ErrNotExist)
	}
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// giveUp removes the lease if this process holds it, so that another process need not wait.
func (l *lease) giveUp() {
	if l.holds() {
		_ = l.volume.Remove(leasePath) // If this fails, the lease expires.
	}
}
