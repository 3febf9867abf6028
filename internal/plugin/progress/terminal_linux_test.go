package progress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/terminal"
)

// pseudoTerminal opens a pseudo-terminal: text written to the second file can be read from the first.
func pseudoTerminal(t *testing.T) (*os.File, *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}))
	if err != nil {
		t.Skipf("opening a pseudo-terminal: %v", err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("opening a pseudo-terminal: %v", err)
	}
	return screen, program
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	screen, program := pseudoTerminal(t)
	shown := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(screen) // it ends with an error once the other end is closed
		shown <- all
	}()
	p := New(terminal.Text(program), false, pushing)
	first := p.Start("upf:1.0.0", 2<<20)
	first.Add(1 << 20)
	first.Restart(errors.New("the line broke"))
	first.Add(2 << 20)
	first.End(nil)
	empty := p.Start("empty:1", 0)
	empty.End(nil)
	last := p.Start("nginx:1.25", 2<<20)
	last.Add(1 << 20)
	last.End(errors.New("refused"))
	p.Wait()
	_ = program.Close()
	got := <-shown
	for _, want := range []string{"upf:1.0.0", "done", "nginx:1.25", "failed", "trying again: the line broke", "[=", ">--"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the screen does not show %q: %q", want, got)
		}
	}
}

func TestDataOnATerminal(t *testing.T) {
	t.Parallel()
	_, program := pseudoTerminal(t)
	t.Cleanup(func() { _ = program.Close() })
	if out := terminal.Text(program); plugin.DataOut(out, "yaml") != io.Writer(out) {
		t.Error("a terminal gets YAML as it is, want it through the writer of texts")
	}
}
