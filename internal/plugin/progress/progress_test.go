package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

var pushing = Words{"pushing", "pushed"}

func TestProgressCanBeShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := New(&out, false, pushing)
	p.Start("upf:1", 1).Restart(errors.New(plugintest.HostileText))
	p.Wait()
	if strings.ContainsAny(out.String(), plugintest.Controls) || !strings.Contains(out.String(), "trying again: a?[2J") {
		t.Errorf("it says %q, want the error without what plugintest.Controls a terminal", out.String())
	}
}

func TestProgressWithoutTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := New(&out, false, pushing)
	b := p.Start("a:1", 1<<20)
	for range 16 {
		b.Add(1 << 16)
	}
	b.Restart(errors.New("the line broke"))
	b.Add(1 << 20)
	b.End(nil)
	empty := p.Start("b:1", 0)
	empty.Add(0)
	empty.End(errors.New("refused"))
	p.Wait()
	const want = "a:1: pushing 1.0 MiB\na:1: 25 %\na:1: 50 %\na:1: 75 %\na:1: trying again: the line broke\na:1: pushed\nb:1: pushing 0 B\nb:1: failed\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	out.Reset()
	quiet := New(&out, true, pushing)
	quiet.Start("a:1", 1).End(nil)
	if out.Len() > 0 {
		t.Errorf("quiet, it says %q", out.String())
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int64]string{0: "0 B", 696: "696 B", 1023: "1023 B", 1 << 10: "1.0 KiB", 1536 << 10: "1.5 MiB", 3 << 30: "3.0 GiB"} {
		if got := Size(bytes); got != want {
			t.Errorf("%d bytes are %q, want %q", bytes, got, want)
		}
	}
	if got := counters(decor.Statistics{Current: 696, Total: 1 << 20}); got != "696 B / 1.0 MiB" {
		t.Errorf("a bar says %q", got)
	}
}
