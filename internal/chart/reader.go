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
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nfo-operator/nfo/internal/chart/images"
)

// The default limits, and the least memory with which small charts can be read.
const (
	DefaultCPU    = 10 * time.Second
	DefaultMemory = 384 << 20
	LeastMemory   = 96 << 20
)

const (
	// A process may run for stalledAfter times its CPU limit, and at least for stalledAtLeast. A process that needs longer
	// got too little processor time. It is ended, and the chart is read again later.
	stalledAfter   = 20
	stalledAtLeast = time.Minute
	maxAnswerBytes = 8 << 20 // all answers of one child, which the manager has in memory twice: as text and decoded
	maxStderrBytes = 4 << 10
	// chartChild is set in the environment of the processes that read charts.
	chartChild = "NFO_CHART_CHILD"
	// revision is the version of the rules by which charts are read. If it is increased, all charts are read again.
	revision = "3"
)

// ErrStalled means that the machine, and not the chart, interrupted a reading: its process got no processor time or
// memory, or was ended from outside. The chart can be read again.
var ErrStalled = errors.New("reading the chart was interrupted")

// Limits bound the reading of one chart. They do not depend on how busy the machine is.
type Limits struct {
	// CPU is the processor time that the process may use, rounded up to whole seconds. Default: 10 s.
	CPU time.Duration
	// Memory is the memory that the process may have, in bytes. Half of it is for live data: a chart that needs more live
	// data is not read. The rest is for garbage that has not been collected yet. The memory counts in addition to what the
	// manager itself needs in the same container. Default: 384 MiB. With less than 96 MiB even small charts fail.
	Memory int64
}

func (l Limits) withDefaults() Limits {
	return Limits{cmp.Or(l.CPU, DefaultCPU), cmp.Or(l.Memory, DefaultMemory)}
}

// live returns how much live data the process may have, in bytes.
func (l Limits) live() int64 { return l.Memory / 2 }

// collect returns the memory from which the process collects garbage continuously, so that it does not grow further
// while it has less live data. Because of fragmentation it maps more memory than this.
func (l Limits) collect() int64 { return l.Memory / 8 * 5 }

// stalled returns how long a process may run.
func (l Limits) stalled() time.Duration { return max(stalledAfter*l.CPU, stalledAtLeast) }

// Revision identifies how a reading was made, in at most 64 bytes: the
// revision of the rules and, if a limit ended the reading, the limits.
func (r *Reader) Revision(limited bool) string {
	if !limited {
		return revision
	}
	return fmt.Sprintf("%s, %s of processor time, %d MiB", revision, r.limits.CPU, r.limits.Memory>>20)
}

// Current reports whether a reading with that revision would be made the same way now.
func (r *Reader) Current(was string) bool { return was == r.Revision(false) || was == r.Revision(true) }

// Reader reads charts, each in a separate process, and release records in batches. Templates can neither be stopped nor
// prevented from taking memory, so a chart may crash the process that reads it, but nothing else. The processes get no
// environment, no files and no network. The same bytes give the same result, unless templates use random values:
// callers keep the result by the digest of the chart.
type Reader struct {
	command []string
	limits  Limits
	stalled time.Duration
	slots   chan struct{}
}

// NewReader returns a Reader that reads at most atOnce charts at a time, and at least 1. command
// starts a process that calls [Serve]; the flags --cpu and --memory with the limits are
// appended. The default command is this program with the argument chart.
func NewReader(limits Limits, atOnce int, command ...string) (*Reader, error) {
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding this program: %w", err)
		}
		command = []string{self, "chart"}
	}
	closeInherited()
	limits = limits.withDefaults()
	return &Reader{command, limits, limits.stalled(), make(chan struct{}, max(1, atOnce))}, nil
}

// Read reads a chart. If the error wraps one of the sentinels of [AboutChart], the Chart has what
// could be read: name, version, dependencies and images in values can often be read if templates
// cannot. Any other error is not about the chart, which can be read again.
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
	end := r.run(ctx, request)
	last := lastAnswer(end.out)
	switch {
	case last.Done:
		return last.Chart, last.err()
	case ctx.Err() != nil:
		return Chart{}, fmt.Errorf("reading a chart: %w", ctx.Err())
	}
	death := r.death(end)
	if !AboutChart(death) {
		return Chart{}, death
	}
	last.Chart.Limited = errors.Is(death, ErrTimeout) || errors.Is(death, ErrMemory)
	if last.Read {
		last.Chart.Remarks = append(last.Chart.Remarks, last.Unread+": "+death.Error())
		return last.Chart, last.err()
	}
	return last.Chart, errors.Join(last.err(), death)
}

// childEnd describes how a child ended, with its output.
type childEnd struct {
	out, stderr []byte
	err         error
	stalled     bool
	cpu         time.Duration
}

// run runs a child until it ends or the context does.
func (r *Reader) run(ctx context.Context, request []byte) (end childEnd) {
	limited, cancel := context.WithTimeout(ctx, r.stalled)
	defer cancel()
	args := append(r.command[1:len(r.command):len(r.command)],
		"--cpu="+r.limits.CPU.String(), "--memory="+strconv.FormatInt(r.limits.Memory, 10))
	cmd := exec.CommandContext(limited, r.command[0], args...)
	cmd.Env = []string{
		chartChild + "=1",
		"GOMAXPROCS=1",
		"GOTRACEBACK=none",
		"GOMEMLIMIT=" + strconv.FormatInt(r.limits.collect(), 10),
	}
	cmd.Dir = "/"
	endTogether(cmd)
	cmd.WaitDelay = time.Second
	answers, says := &boundedBuffer{room: maxAnswerBytes}, &boundedBuffer{room: maxStderrBytes, cut: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), answers, says
	end.err = cmd.Run()
	if answers.over {
		end.err = errFull
	}
	if cmd.ProcessState != nil {
		end.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	end.out, end.stderr, end.stalled = answers.data, says.data, limited.Err() != nil
	return end
}

// noMemory matches the message of the Go runtime when it gets no memory: how much it asked for, and how much it has.
var noMemory = regexp.MustCompile(`cannot allocate ([0-9]+)-byte block \(([0-9]+) in use\)`)

// death returns the reason why a child ended before it was done.
// An interruption by the machine is not an error about the chart.
func (r *Reader) death(end childEnd) error {
	said := string(end.stderr)
	has := func(text string) bool { return strings.Contains(said, text) }
	overtime := end.cpu >= r.limits.CPU
	var exit *exec.ExitError
	switch {
	case errors.Is(end.err, errFull):
		return fmt.Errorf("%w: more is to be said of it than %d bytes", ErrTooLarge, maxAnswerBytes)
	case has("SIGXCPU"), overtime:
		return fmt.Errorf("%w: more than %s of processor time", ErrTimeout, r.limits.CPU)
	case end.stalled:
		return fmt.Errorf("%w: in %s its process got %s of processor time. The node is too busy, or the CPU limit of the manager's container too low; nfo tries again", ErrStalled, r.stalled, end.cpu.Round(time.Millisecond))
	case end.err == nil:
		return fmt.Errorf("%w: it ended early", ErrCrashed)
	case !errors.As(end.err, &exit):
		return fmt.Errorf("starting the process that reads charts: %w", end.err)
	case exit.ExitCode() == ChildFailed:
		return fmt.Errorf("starting the process that reads charts: %w: %s", exit, images.Clip(said, images.MaxName))
	case has("newosproc"), r.machineShort(said):
		return fmt.Errorf("%w: the node or the manager's container is short of memory or processes; nfo tries again: %s", ErrStalled, images.Clip(said, images.MaxName))
	case exit.ExitCode() == childFull, has("out of memory"), has("cannot allocate memory"):
		return fmt.Errorf("%w: more than %d MiB of data", ErrMemory, r.limits.live()>>20)
	}
	switch s := exit.Sys().(syscall.WaitStatus); {
	case s.Signaled() && (s.Signal() == syscall.SIGKILL || s.Signal() == syscall.SIGTERM || s.Signal() == syscall.SIGINT || s.Signal() == syscall.SIGHUP):
		return fmt.Errorf("%w: its process got the signal %q, as where the memory of the node or of the manager's container is short; nfo tries again", ErrStalled, s.Signal().String())
	}
	first, _, _ := strings.Cut(said, "\n")
	return fmt.Errorf("%w: %w: %s", ErrCrashed, exit, images.Clip(first, images.MaxName))
}

// machineShort reports whether the memory of the machine ended before
// the limit was reached: at least half of the limit must be available.
func (r *Reader) machineShort(said string) bool {
	m := noMemory.FindStringSubmatch(said)
	if m == nil {
		return false
	}
	asked, err := strconv.ParseInt(m[1], 10, 64)
	used, err2 := strconv.ParseInt(m[2], 10, 64)
	return err == nil && err2 == nil && asked < r.limits.Memory && asked+used < r.limits.Memory/2
}

// lastAnswer returns the last complete answer.
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

// boundedBuffer keeps at most room bytes. More bytes are an error, or are dropped with cut. It embeds no bytes.Buffer,
// because io.Copy would use its ReadFrom instead of Write, and ReadFrom has no bound.
type boundedBuffer struct {
	data []byte
	room int
	cut  bool
	over bool // more than room was written
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	fits := p[:min(len(p), b.room-len(b.data))]
	b.data = append(b.data, fits...)
	if b.over = b.over || len(fits) < len(p); b.over && !b.cut {
		return len(fits), errFull
	}
	return len(p), nil
}
