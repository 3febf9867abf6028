package failure

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestI2Settles finds an absence that counts as settled before the registry has reported it for long enough.
func TestI2Settles(t *testing.T) {
	t.Parallel()
	since := func(age time.Duration) error {
		return fmt.Errorf("reading it: %w", &Error{Class: ErrNotFound, Cause: errors.New("404"), AbsentSince: time.Now().Add(-age), SecondLook: time.Hour})
	}
	for name, tc := range map[string]struct {
		reason      string
		err         error
		least, most time.Duration
	}{
		"Settled":     {"it has said so for long enough", since(2 * time.Hour), 0, 0},
		"Half":        {"half of the time is left", since(30 * time.Minute), 29 * time.Minute, 30 * time.Minute},
		"Bare":        {"nobody knows since when", ErrNotFound, SecondLook, SecondLook},
		"First":       {"an answer whose time has not begun", &Error{Class: ErrNotFound, Cause: errors.New("404")}, SecondLook, SecondLook},
		"Unavailable": {"it is not an absence", &Error{Class: ErrUnavailable, Cause: errors.New("503"), AbsentSince: time.Now().Add(-2 * time.Hour)}, SecondLook, SecondLook},
		"Nothing":     {"no error at all", nil, SecondLook, SecondLook},
	} {
		if got := SettlesIn(tc.err); got < tc.least || got > tc.most {
			t.Errorf("%s, %s: %s, want %s to %s", name, tc.reason, got, tc.least, tc.most)
		}
	}
}

// TestOfOne finds an error of the whole registry that counts as one of a single object, and the opposite.
func TestOfOne(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		ErrUnreadable: true, ErrName: true, fmt.Errorf("%w: %w", ErrUnavailable, ErrUnproven): true,
		ErrUnavailable: false, ErrDenied: false, ErrNotFound: false, ErrConfig: false,
	} {
		if OfOne(fmt.Errorf("reading it: %w", err)) != want {
			t.Errorf("%v: want %t", err, want)
		}
	}
}

// TestRetryAfter finds a wait that the registry did not ask for.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	asked := fmt.Errorf("reading it: %w", &Error{Class: ErrUnavailable, Cause: errors.New("429"), After: time.Minute})
	if got := RetryAfter(asked); got != time.Minute {
		t.Errorf("the registry asked for a minute, and it is %s", got)
	}
	if got := RetryAfter(ErrUnavailable); got != 0 {
		t.Errorf("nobody asked, and it is %s", got)
	}
}
