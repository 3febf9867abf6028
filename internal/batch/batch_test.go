package batch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// No caller may get a value that was read before it asked, and a hundred callers must cost few reads.
func TestI3ReadsBeginAfterTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r Reads[string, time.Time]
		begun := 0
		do := func(ctx context.Context) (time.Time, error) {
			began := time.Now()
			begun++
			<-time.After(time.Second)
			return began, ctx.Err()
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				asked := time.Now()
				if began, err := r.Do(t.Context(), "a", do); err != nil || began.Before(asked) {
					t.Errorf("asked at %s, read at %s (%v)", asked, began, err)
				}
			})
			<-time.After(30 * time.Millisecond)
		}
		all.Wait()
		if begun > 5 {
			t.Errorf("%d reads of a second for callers within 3 seconds, want at most 5", begun)
		}
		if len(r.waits)+len(r.runs) > 0 {
			t.Errorf("%d and %d reads are remembered after their end", len(r.waits), len(r.runs))
		}
	})
}

// Keys must not wait for each other. An error must reach all callers of its read, and no others.
func TestKeysAndErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r Reads[string, int]
		failed := errors.New("down")
		go func() {
			_, err := r.Do(t.Context(), "slow", func(context.Context) (int, error) { <-time.After(time.Minute); return 0, failed })
			if !errors.Is(err, failed) {
				t.Error(err)
			}
		}()
		synctest.Wait()
		began := time.Now()
		if n, err := r.Do(t.Context(), "quick", func(context.Context) (int, error) { return 1, nil }); n != 1 || err != nil || time.Since(began) > 0 {
			t.Errorf("%d, %v after %s", n, err, time.Since(began))
		}
		if n, err := r.Do(t.Context(), "slow", func(context.Context) (int, error) { return 2, nil }); n != 2 || err != nil {
			t.Errorf("after a failure: %d, %v", n, err)
		}
	})
}

// A caller that gives up must not end the read of the others, and a read that hangs must end.
func TestNobodyEndsTheReadOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r Reads[string, int]
		slow := func(ctx context.Context) (int, error) {
			select {
			case <-time.After(10 * time.Second):
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			if _, err := r.Do(hasty, "a", slow); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}()
		if n, err := r.Do(t.Context(), "a", slow); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		_, err := r.Do(t.Context(), "b", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("what hangs: %v", err)
		}
	})
}
