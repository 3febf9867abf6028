// Package progress shows how much of its artifacts a command has copied.
//
// Contract: [New] shows bars on a terminal, lines elsewhere, and nothing when quiet. What it writes is safe for a terminal.
package progress

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
)

const (
	barWidth = 80
	// Without a terminal a line is written for each further quarter.
	quarter = 25
)

// Words describe what is done to an artifact, such as pushing and pushed.
type Words struct{ Doing, Done string }

// Progress shows how much has been copied.
type Progress struct {
	out   io.Writer
	words Words
	bars  *mpb.Progress // nil without a terminal

	mu sync.Mutex // guards out, which several copies write to
}

// New shows progress on a stream, or not at all if quiet is set.
func New(out io.Writer, quiet bool, words Words) *Progress {
	if quiet {
		out = io.Discard
	}
	p := &Progress{out: out, words: words}
	if file := plugin.TerminalOf(out); file != nil {
		p.bars = mpb.New(mpb.WithOutput(file), mpb.WithWidth(barWidth))
	}
	return p
}

// Wait shows the final state. Nothing may be shown afterwards.
func (p *Progress) Wait() {
	if p.bars != nil {
		p.bars.Wait()
	}
}

// Say writes a line, above the bars if there are any.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.out
	if p.bars != nil {
		out = p.bars
	}
	_, _ = fmt.Fprintln(out, v1alpha1.Printable(fmt.Sprintf(format, args...)))
}

// Bar is the progress of one artifact. Its Add is safe for concurrent use.
type Bar struct {
	progress *Progress
	name     string
	total    int64
	done     atomic.Int64
	reported atomic.Int64 // quarters
	bar      *mpb.Bar
}

// Start begins the bar of one artifact.
func (p *Progress) Start(name string, total int64) *Bar {
	b := &Bar{progress: p, name: name, total: total}
	if p.bars == nil {
		p.Say("%s: %s %s", name, p.words.Doing, Size(total))
		return b
	}
	b.bar = p.bars.AddBar(0, // with a total, the bar would end before the tag is set
		mpb.PrependDecorators(decor.Name(v1alpha1.Line(name)+" ", decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.OnAbort(decor.OnComplete(decor.Any(counters), "done"), "failed")))
	b.bar.SetTotal(total, false)
	return b
}

func counters(s decor.Statistics) string { return Size(s.Current) + " / " + Size(s.Total) }

// Add adds transferred bytes.
func (b *Bar) Add(bytes int64) {
	done := b.done.Add(bytes)
	if b.bar != nil {
		b.bar.SetCurrent(done)
		return
	}
	if b.total == 0 {
		return
	}
	percent := done * 100 / b.total / quarter * quarter
	for reported := b.reported.Load(); percent > reported && percent < 100; reported = b.reported.Load() {
		if b.reported.CompareAndSwap(reported, percent) {
			b.progress.Say("%s: %d %%", b.name, percent)
		}
	}
}

// Restart sets the bar to 0 for a new attempt; err is why the last attempt failed, nil for the first one.
func (b *Bar) Restart(err error) {
	b.done.Store(0)
	b.reported.Store(0)
	if b.bar != nil {
		b.bar.SetCurrent(0)
	}
	if err != nil {
		b.progress.Say("%s: trying again: %v", b.name, err)
	}
}

// End ends the bar as done, or as failed if err is not nil.
func (b *Bar) End(err error) {
	switch {
	case b.bar != nil && err == nil:
		b.bar.SetTotal(b.total, true)
	case b.bar != nil:
		b.bar.Abort(false)
	case err == nil:
		b.progress.Say("%s: %s", b.name, b.progress.words.Done)
	default:
		b.progress.Say("%s: failed", b.name)
	}
}

// Size returns a number of bytes in words.
func Size(bytes int64) string {
	if bytes < 1<<10 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("% .1f", decor.SizeB1024(bytes))
}
