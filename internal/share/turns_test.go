package share

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestTurnsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2, 1)
		for range turns.AtOnce() {
			if err := turns.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		waited := make(chan error, 1)
		go func() { waited <- turns.Take(t.Context()) }()
		synctest.Wait()
		if err := turns.Take(t.Context()); !errors.Is(err, ErrFull) {
			t.Errorf("a second one may wait: %v", err)
		}
		turns.Return()
		if err := <-waited; err != nil {
			t.Error("the one that waited has no turn:", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := turns.Take(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a wait does not end: %v", err)
		}
		if err := func() error { turns.Return(); return turns.Take(ended) }(); err != nil {
			t.Error("a free turn is not taken at once:", err)
		}
	})
}
