package storage

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A request that exceeds its limit must be refused, so that no content that was not checked is reported as absent.
func TestALimitIsOfAllLooksOfARequest(t *testing.T) {
	t.Parallel()
	d := &Driver{large: make(chan struct{}, atOnce)}
	ctx, l := d.Limit(t.Context(), nil)
	defer l.End()
	if limitOf(ctx) != l {
		t.Error("a look does not know the limit of its request")
	}
	if err := errors.Join(l.spend(requestFiles-1, 0), l.spend(1, requestBytes)); err != nil || l.Refused() != nil {
		t.Errorf("within the limit: %v, %v", err, l.Refused())
	}
	if err := l.spend(1, 0); !errors.Is(err, errTooMuch) || !errors.Is(l.Refused(), errTooMuch) {
		t.Errorf("beyond it: %v, %v", err, l.Refused())
	}
	if err := limitOf(t.Context()).spend(requestFiles, requestBytes); err != nil {
		t.Errorf("a look without a request has a limit of its own: %v", err)
	}
}

// Large manifests must wait for each other, and a request that waits too long must be told to repeat.
func TestLargeManifestsWaitForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &Driver{large: make(chan struct{}, atOnce)}
		var all []*Limit
		for range atOnce {
			_, l := d.Limit(t.Context(), nil)
			for range 2 { // one place serves all manifests of a request
				if err := l.Room(t.Context(), Large+1); err != nil {
					t.Fatal(err)
				}
			}
			all = append(all, l)
		}
		_, late := d.Limit(t.Context(), nil)
		defer late.End()
		if err := late.Room(t.Context(), Large); err != nil {
			t.Errorf("a small one waits: %v", err)
		}
		began := time.Now()
		if err := late.Room(t.Context(), Large+1); !errors.Is(err, ErrBusy) || !errors.Is(late.Refused(), ErrBusy) || time.Since(began) != roomTime {
			t.Errorf("%v after %s, and refused for %v", err, time.Since(began), late.Refused())
		}
		time.AfterFunc(time.Second, all[0].End)
		began = time.Now()
		if err := late.Room(t.Context(), Large+1); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s, want a place after 1 s", err, time.Since(began))
		}
		for _, l := range all {
			l.End() // for the first one a second time, which must release nothing
		}
		if len(d.large) != 1 {
			t.Errorf("%d places are taken, want that of the last", len(d.large))
		}
	})
}

// Many requests of one client must leave places for large manifests of other clients.
func TestAClientHasOneLargeManifestAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &Driver{large: make(chan struct{}, atOnce)}
		greedy, modest := make(chan struct{}, 1), make(chan struct{}, 1)
		room := func(own chan struct{}) (*Limit, error) {
			_, l := d.Limit(t.Context(), own)
			return l, l.Room(t.Context(), Large+1)
		}
		first, err := room(greedy)
		if err != nil {
			t.Fatal(err)
		}
		for range atOnce {
			go func() {
				if l, err := room(greedy); !errors.Is(err, ErrBusy) {
					t.Errorf("one more of the same client: %v", err)
					l.End()
				}
			}()
		}
		began := time.Now()
		l, err := room(modest)
		if err != nil || time.Since(began) > 0 {
			t.Errorf("another client waits %s: %v", time.Since(began), err)
		}
		<-time.After(2 * roomTime)
		first.End()
		l.End()
		if l, err = room(greedy); err != nil {
			t.Errorf("after the first has ended: %v", err)
		}
		l.End()
		if len(d.large)+len(greedy)+len(modest) > 0 {
			t.Errorf("%d places are taken", len(d.large))
		}
	})
}

// A request must learn that its upload found the volume full, and other errors must not count as that.
func TestNoteFull(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{{unix.ENOSPC, true}, {fmt.Errorf("writing: %w", unix.EDQUOT), true}, {unix.EIO, false}, {nil, false}} {
		ctx, full := NoteFull(context.WithValue(t.Context(), limitKey{}, nil))
		if noted := noteFull(ctx, tt.err); noted != tt.want || full() != tt.want {
			t.Errorf("%v: noted %t, and the request learns %t", tt.err, noted, full())
		}
		if noted := noteFull(t.Context(), tt.err); noted != tt.want {
			t.Errorf("%v without a request: %t", tt.err, noted)
		}
	}
}
