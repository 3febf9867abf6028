package latest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestReadingsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, number := New[int](), atomic.Int64{}
		wait := make(chan error)
		read := func() (int, error) { return int(number.Add(1)), <-wait }
		always := func(int) bool { return true }
		results := make(chan int, 4)
		get := func(after int) {
			n, err := r.Read(t.Context(), after, always, read)
			if err != nil {
				t.Error(err)
			}
			results <- n
		}
		go get(0)
		synctest.Wait() // the first reading runs
		go get(0)       // may share it
		for range 2 {
			go get(r.Mark()) // must begin after it, and share the next one
		}
		synctest.Wait()
		close(wait)
		synctest.Wait()
		sum := 0
		for range 4 {
			sum += <-results
		}
		if number.Load() != 2 || sum < 1+1+2+2 || sum > 1+2+2+2 {
			t.Errorf("%d readings, whose numbers sum up to %d", number.Load(), sum)
		}
	})
}

func TestAReadingThatIsNotFreshIsReadAgain(t *testing.T) {
	t.Parallel()
	r, number := New[int](), 0
	read := func() (int, error) { number++; return number, nil }
	for _, fresh := range []bool{false, true, false} {
		if _, err := r.Read(t.Context(), 0, func(int) bool { return fresh }, read); err != nil {
			t.Fatal(err)
		}
	}
	if number != 2 {
		t.Errorf("%d readings, want 2", number)
	}
}

func TestAReadingThatFailsIsNotShared(t *testing.T) {
	t.Parallel()
	r, failure := New[int](), errors.New("failed")
	never := func(int) bool { t.Error("a reading that failed was shared"); return true }
	for range 2 {
		if _, err := r.Read(t.Context(), 0, never, func() (int, error) { return 1, failure }); !errors.Is(err, failure) {
			t.Error(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.turn <- struct{}{} // another reading runs
	if _, err := r.Read(ended, 0, never, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
