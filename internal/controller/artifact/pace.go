package artifact

import (
	"fmt"
	"time"
)

const (
	// A copy is slow if it has moved fewer than slowBytes within slowWindow, which is 34 KiB/s. Three copies
	// that share a line of 1 Mbit/s are each faster than that, and another order of copies would not help
	// there. A minute is long enough for the mirror to verify a large blob, during which nothing moves.
	slowWindow = time.Minute
	slowBytes  = 2 << 20
	// mostTurn is the longest time that a slow copy keeps its place while others wait; see limits.turn.
	mostTurn = 32 * time.Minute
	// yieldWait and mostYieldWait are how long a copy that has given up its place
	// waits, at first and at most. They are short because the place may be free again.
	yieldWait     = time.Minute
	mostYieldWait = 5 * time.Minute
)

// limits are the constants by which a pace is judged.
type limits struct {
	// every is how often the bytes of a copy are noted and its progress is written.
	every, window time.Duration
	// bytes is how many have to move within a window.
	bytes int64
}

var defaultLimits = limits{every: progressEvery, window: slowWindow, bytes: slowBytes}

// slow returns the bytes a second below which a copy is slow.
func (l limits) slow() float64 { return float64(l.bytes) / l.window.Seconds() }

// turn is how long a copy of rate bytes a second keeps its place although others wait, after it has given up its
// place given times in a row. At first that is one window, and it doubles each time: the part of an incomplete blob
// that was read is lost, so that a large blob of a slow source would never arrive if all turns were short. The turn
// of a copy that is not slow is longer in proportion to its rate, but not without end, so that a source that is
// just fast enough does not keep its place for hours. At 340 KiB/s that is 10 minutes, at 34 MiB/s 17 hours.
func (l limits) turn(given int, rate float64) time.Duration {
	return time.Duration(float64(doubled(l.window, mostTurn, given)) * max(1, rate/l.slow()))
}

// pace is the speed of a copy, from notes taken at intervals.
type pace struct {
	limits
	begun time.Time
	// notes are those of the last window, the oldest first.
	notes []note
}

// note is how many bytes had been moved at a time.
type note struct {
	at    time.Time
	bytes int64
}

func newPace(l limits, now time.Time) *pace {
	return &pace{limits: l, begun: now, notes: []note{{at: now}}}
}

// note records how many bytes have been moved in all, and returns the rate of the
// last window, in bytes a second. known is false until a whole window has passed.
func (p *pace) note(now time.Time, bytes int64) (rate float64, known bool) {
	p.notes = append(p.notes, note{now, bytes})
	for now.Sub(p.notes[1].at) >= p.window {
		p.notes = p.notes[1:]
	}
	took := now.Sub(p.notes[0].at)
	if took < p.window {
		return 0, false
	}
	return float64(bytes-p.notes[0].bytes) / took.Seconds(), true
}

// slowError ends a slow copy that gives up its place. Its value is the rate in bytes a second.
type slowError float64

func (e slowError) Error() string {
	return fmt.Sprintf("copying takes long, %.1f KiB/s, and images of other namespaces wait", float64(e)/1024)
}
