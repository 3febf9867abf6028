package artifact

import (
	"fmt"
	"time"
)

const (
	// slowWindow and slowBytes say when a copy is slow: it has moved fewer bytes in that time, which is 34 KiB/s. Three copies
	// that share a line of 1 Mbit/s have more each, and there another order of copies would help nobody. A minute is long
	// enough for the mirror to verify a large blob, while nothing moves.
	slowWindow = time.Minute
	slowBytes  = 2 << 20
	// mostTurn bounds for how long a slow copy keeps its place while others wait; see limits.turn.
	mostTurn = 32 * time.Minute
	// yieldWait and mostYieldWait are how long a copy that has given up its place waits at first and at most. They are short
	// because the place may be free.
	yieldWait     = time.Minute
	mostYieldWait = 5 * time.Minute
)

// limits are what a pace is measured by.
type limits struct {
	// every is how often the bytes of a copy are noted, and its progress is written.
	every, window time.Duration
	// bytes are how many have to move in a window.
	bytes int64
}

var defaultLimits = limits{every: progressEvery, window: slowWindow, bytes: slowBytes}

// slow is below how many bytes a second a copy is slow.
func (l limits) slow() float64 { return float64(l.bytes) / l.window.Seconds() }

// turn is how long a copy of so many bytes a second keeps its place although others wait, after it has given it up so many
// times in a row. It is a window at first, and twice as long each time: what was read of a blob that is not complete is
// lost, so that a large blob of a slow source would never come if all turns were short. A copy that is not slow has as many
// turns as it is faster, so that a source which is just fast enough does not keep its place for hours either: with 340 KiB/s
// that is 10 minutes, with 34 MiB/s 17 hours.
func (l limits) turn(given int, rate float64) time.Duration {
	return time.Duration(float64(doubled(l.window, mostTurn, given)) * max(1, rate/l.slow()))
}

// pace is how fast a copy moves, from what is noted of it now and then.
type pace struct {
	limits
	begun time.Time
	// notes are those of the last window, the oldest first.
	notes []note
}

// note is how many bytes had moved at a time.
type note struct {
	at    time.Time
	bytes int64
}

func newPace(l limits, now time.Time) *pace {
	return &pace{limits: l, begun: now, notes: []note{{at: now}}}
}

// note notes how many bytes have moved in all, and returns how many did a second in the last window. known is false until
// there was one.
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

// slowError ends a slow copy that gives up its place. It is the rate in bytes a second.
type slowError float64

func (e slowError) Error() string {
	return fmt.Sprintf("copying takes long, %.1f KiB/s, and images of other namespaces wait", float64(e)/1024)
}
