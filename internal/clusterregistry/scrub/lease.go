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
	// maxLease bounds the lease's file, in bytes.
	maxLease = 256
	// renewal is the time after which the holder renews the lease, and after which others look at it.
	renewal = 30 * time.Second
	// expiry is the age, by the volume's clock, after which a lease is taken over. What a process sees of the volume may
	// be older, by Volume.Stale.
	expiry = 5 * time.Minute
)

// ErrTaken is a lease that another process has taken over, or has taken at the same time. The next Run waits for it.
var ErrTaken = errors.New("another process goes on with the scrub: this one did not renew its lease in time, or took it at the same time")

// lease is the right to read the volume, as long as no other process takes it over.
type lease struct {
	volume *volume.Volume
	holder string
}

// acquire waits until no other process reads the volume.
func acquire(ctx context.Context, v *volume.Volume, holder string) (*lease, error) {
	l := &lease{volume: v, holder: holder}
	for {
		free, err := l.free()
		if err != nil {
			return nil, err
		}
		if free {
			// Of two that take it at once the one that wrote first notices when it renews the lease. A power cut may lose it.
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

// free reports whether this process may have the lease: it has the lease, nobody has it, or its holder does not renew it.
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
	// A time far ahead is that of a clock that was set back since.
	age := now.Sub(info.ModTime())
	return age.Abs() > expiry+2*l.volume.Stale() || l.holds(), nil
}

func (l *lease) holds() bool {
	content, err := l.volume.ReadFile(leasePath, maxLease)
	return err == nil && string(content) == l.holder
}

// keep renews the lease until release is called. The context ends when the lease was taken over.
func (l *lease) keep(ctx context.Context) (held context.Context, release func()) {
	held, end := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for wait(held, time.Now().Add(renewal)) == nil {
			if !l.kept() {
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

// kept renews the lease, and reports whether it is still this process's. A volume that does not answer says nothing.
func (l *lease) kept() bool {
	content, err := l.volume.ReadFile(leasePath, maxLease)
	if err == nil && string(content) == l.holder {
		err = l.volume.Touch(leasePath)
		return err == nil || !errors.Is(err, fs.ErrNotExist)
	}
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// giveUp removes the lease, if it is this process's, so that another need not wait.
func (l *lease) giveUp() {
	if l.holds() {
		_ = l.volume.Remove(leasePath) // It would expire.
	}
}
