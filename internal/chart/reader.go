package chart

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultChartTimeout = 10 * time.Second
	defaultChartMemory  = 256 << 20
	// All answers of one child. The manager holds them in memory, once as text and once as read.
	maxAnswerBytes = 8 << 20
	maxStderrBytes = 4 << 10
	// Files that a program is started with have the lowest numbers.
	maxInheritedFile = 1024
	// chartChild is set in the environment of the processes that read charts.
	chartChild = "NFO_CHART_CHILD"
)

// Limits bound the reading of one chart.
type Limits struct {
	// Timeout is how long the process may run, and how much processor time it may use, in whole
	// seconds, rounded up. Default 10 s.
	Timeout time.Duration
	// Memory is how much its data may take, in bytes. It is on top of what the manager itself needs,
	// in the same container, once for each chart that is read at a time. Default 256 MiB, which is
	// enough for 13 MB of templates. With less than 96 MiB small charts fail too.
	Memory int64
}

func (l Limits) withDefaults() Limits {
	return Limits{cmp.Or(l.Timeout, defaultChartTimeout), cmp.Or(l.Memory, defaultChartMemory)}
}

// Reader reads charts, each in a process of its own, for templates can neither be stopped nor
// kept from taking memory: a chart can take down that process and nothing else. Its processes are
// given no environment, no file and no network. The same bytes give the same answer, as long as their
// templates do not draw random values: callers keep it by the digest of the chart.
type Reader struct {
	command []string
	limits  Limits
	slots   chan struct{}
}

// NewReader makes a Reader that reads at most that many charts at a time; 1 is the least.
// The command starts a process that calls [Serve] with the limits of the flags --timeout and
// --memory, which are added to it; without one it is this program's own, with the argument chart.
func NewReader(limits Limits, atOnce int, command ...string) (*Reader, error) {
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding this program: %w", err)
		}
		command = []string{self, "chart"}
	}
	// Go keeps its own files to itself, but not those that this program was started with.
	for fd := 3; fd < maxInheritedFile; fd++ {
		unix.CloseOnExec(fd)
	}
	return &Reader{command, limits.withDefaults(), make(chan struct{}, max(1, atOnce))}, nil
}

// Read reads a chart. With an error that wraps one of the ErrChart sentinels or ErrNotChart, the
// Chart is as much as could be read: name, version, dependencies and images in values often can
// where templates cannot. Any other error is not about the chart: it can be read again.
func (r *Reader) Read(ctx context.Context, q Request) (Chart, error) {
	if os.Getenv(chartChild) != "" {
		return Chart{}, errors.New("reading a chart: a process that reads one starts no other")
	}
	if len(q.Archive) > maxArchiveBytes {
		_, err := unpackChart(q.Archive)
		return Chart{}, err
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return Chart{}, fmt.Errorf("waiting to read a chart: %w", ctx.Err())
	}
	request, err := json.Marshal(q)
	if err != nil {
		return Chart{}, fmt.Errorf("encoding the request: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, r.limits.Timeout)
	defer cancel()
	out, stderr, err := r.run(limited, request)
	last := lastAnswer(out)
	switch {
	case last.Done:
		return last.Chart, last.err()
	case ctx.Err() != nil:
		return Chart{}, fmt.Errorf("reading a chart: %w", ctx.Err())
	}
	about, death := r.death(limited, err, stderr)
	switch {
	case !about:
		return Chart{}, death
	case last.Read:
		if last.Unread != "" {
			last.Chart.Unread = append(last.Chart.Unread, last.Unread+": "+death.Error())
		}
		return last.Chart, last.err()
	}
	return last.Chart, errors.Join(last.err(), death)
}

// run runs a child until it ends, or the context does.
func (r *Reader) run(ctx context.Context, request []byte) (out, stderr []byte, err error) {
	args := append(r.command[1:len(r.command):len(r.command)],
		"--timeout="+r.limits.Timeout.String(), "--memory="+strconv.FormatInt(r.limits.Memory, 10))
	cmd := exec.CommandContext(ctx, r.command[0], args...)
	cmd.Env = []string{
		chartChild + "=1",
		"GOMAXPROCS=1",
		"GOTRACEBACK=none",
		// Before the limit is hit, collect garbage harder. Part of the limit is no heap of Go's.
		"GOMEMLIMIT=" + strconv.FormatInt(r.limits.Memory/4*3, 10),
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	answers, says := &boundedBuffer{room: maxAnswerBytes}, &boundedBuffer{room: maxStderrBytes, cut: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), answers, says
	err = cmd.Run()
	if answers.over {
		err = errFull
	}
	return answers.data, says.data, err
}

// death says why a child ended before it was done. about reports whether that is about the chart.
func (r *Reader) death(ctx context.Context, err error, stderr []byte) (about bool, death error) {
	said := string(stderr)
	has := func(text string) bool { return strings.Contains(said, text) }
	var exit *exec.ExitError
	switch {
	case errors.Is(err, errFull):
		return true, fmt.Errorf("%w: more is to be said of it than %d bytes", ErrTooLarge, maxAnswerBytes)
	case ctx.Err() != nil, has("SIGXCPU"):
		return true, fmt.Errorf("%w: more than %s", ErrTimeout, r.limits.Timeout)
	case err == nil:
		return true, fmt.Errorf("%w: it ended early", ErrCrashed)
	case !errors.As(err, &exit):
		return false, fmt.Errorf("starting the process that reads charts: %w", err)
	case exit.ExitCode() == ChildFailed:
		return false, fmt.Errorf("starting the process that reads charts: %w: %s", exit, clip(said, maxChartString))
	case has("out of memory"), has("cannot allocate memory"), has("newosproc"):
		return true, fmt.Errorf("%w: more than %d MiB", ErrMemory, r.limits.Memory>>20)
	case exit.ExitCode() < 0 && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true, fmt.Errorf("%w: the kernel killed the process", ErrMemory)
	}
	first, _, _ := strings.Cut(said, "\n")
	return true, fmt.Errorf("%w: %w: %s", ErrCrashed, exit, clip(first, maxChartString))
}

// lastAnswer is the last one that came whole.
func lastAnswer(out []byte) chartAnswer {
	var last chartAnswer
	for answers := json.NewDecoder(bytes.NewReader(out)); ; {
		var next chartAnswer
		if answers.Decode(&next) != nil {
			return last
		}
		last = next
	}
}

func (a chartAnswer) err() error {
	errs := make([]error, len(a.Problems))
	for i, p := range a.Problems {
		errs[i] = p.err()
	}
	return errors.Join(errs...)
}

var errFull = errors.New("buffer is full")

// boundedBuffer takes up to its room. What is more is an error, or is cut. It embeds no buffer: a
// buffer's ReadFrom, which io.Copy prefers to Write, knows no bound.
type boundedBuffer struct {
	data []byte
	room int
	cut  bool
	over bool // more was written than it takes
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	fits := p[:min(len(p), b.room-len(b.data))]
	b.data = append(b.data, fits...)
	if b.over = b.over || len(fits) < len(p); b.over && !b.cut {
		return len(fits), errFull
	}
	return len(p), nil
}
