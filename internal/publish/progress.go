package publish

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
)

const (
	barWidth = 80
	// Without a terminal a line is written each time another quarter is done.
	quarter = 25
)

// progress shows how far pushing is: bars on a terminal, lines elsewhere, nothing when quiet.
type progress struct {
	out  io.Writer
	bars *mpb.Progress // nil without a terminal
}

func newProgress(out io.Writer, quiet bool) *progress {
	if quiet {
		out = io.Discard
	}
	p := &progress{out: out}
	if file := plugin.TerminalOf(out); file != nil {
		p.bars = mpb.New(mpb.WithOutput(file), mpb.WithWidth(barWidth))
	}
	return p
}

// wait shows the last state. Nothing is shown afterwards.
func (p *progress) wait() {
	if p.bars != nil {
		p.bars.Wait()
	}
}

// say writes a line, above the bars if there are any.
func (p *progress) say(format string, args ...any) {
	out := p.out
	if p.bars != nil {
		out = p.bars
	}
	fmt.Fprintln(out, v1alpha1.Printable(fmt.Sprintf(format, args...)))
}

// bar is the progress of one artifact. Its add is safe for concurrent use.
type bar struct {
	progress *progress
	name     string
	total    int64
	done     atomic.Int64
	reported atomic.Int64 // quarters
	bar      *mpb.Bar
}

func (p *progress) start(name string, total int64) *bar {
	b := &bar{progress: p, name: name, total: total}
	if p.bars == nil {
		p.say("%s: pushing %s", name, size(total))
		return b
	}
	b.bar = p.bars.AddBar(0, // a total would end the bar before the tag is set
		mpb.PrependDecorators(decor.Name(v1alpha1.Line(name)+" ", decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.OnAbort(decor.OnComplete(decor.Any(counters), "done"), "failed")))
	b.bar.SetTotal(total, false)
	return b
}

func counters(s decor.Statistics) string { return size(s.Current) + " / " + size(s.Total) }

// add says that bytes are done.
func (b *bar) add(bytes int64) {
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
			b.progress.say("%s: %d %%", b.name, percent)
		}
	}
}

// restart begins anew after an error; nil for the first time.
func (b *bar) restart(err error) {
	b.done.Store(0)
	b.reported.Store(0)
	if b.bar != nil {
		b.bar.SetCurrent(0)
	}
	if err != nil {
		b.progress.say("%s: trying again: %v", b.name, err)
	}
}

func (b *bar) end(err error) {
	switch {
	case b.bar != nil && err == nil:
		b.bar.SetTotal(b.total, true)
	case b.bar != nil:
		b.bar.Abort(false)
	case err == nil:
		b.progress.say("%s: pushed", b.name)
	default:
		b.progress.say("%s: failed", b.name)
	}
}
