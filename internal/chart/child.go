package chart

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// ChildFailed is the exit code of a process for which [Serve] failed: it did not come to
// read the chart. Go itself exits with 2.
const ChildFailed = 3

// Deep recursion ends here, well before it has used up the memory.
const maxStackBytes = 64 << 20

// Serve reads one request from in, reads the chart, and writes to out what it finds, as it
// finds it. It is what the process of a [Reader] does: it takes from this process, for good,
// all memory, time and files over the limits, so that only death can follow where a chart wants more.
func Serve(limits Limits, in io.Reader, out io.Writer) error {
	if err := confine(limits.withDefaults()); err != nil {
		return err
	}
	log.SetOutput(io.Discard) // Helm's warnings on charts
	var q Request
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("decoding the request: %w", err)
	}
	answers := json.NewEncoder(out)
	return readChart(q, func(a chartAnswer) error { return answers.Encode(a) })
}

// confine limits this process.
func confine(limits Limits) error {
	// Where memory is short for all, this process goes first. Not every kernel lets it say so.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	debug.SetMaxStack(maxStackBytes)
	// Go opens its poller with the first timer. Later it could not, and would end the process.
	time.AfterFunc(time.Hour, func() {}).Stop()
	seconds := uint64((limits.Timeout + time.Second - 1) / time.Second)
	for resource, limit := range map[int]unix.Rlimit{
		unix.RLIMIT_DATA:   {Cur: uint64(limits.Memory), Max: uint64(limits.Memory)},
		unix.RLIMIT_CPU:    {Cur: seconds, Max: seconds + 1},
		unix.RLIMIT_NOFILE: {}, // no more than are open: no file, no socket
		unix.RLIMIT_FSIZE:  {},
		unix.RLIMIT_CORE:   {},
	} {
		if err := unix.Setrlimit(resource, &limit); err != nil {
			return fmt.Errorf("limiting the process: %w", err)
		}
	}
	return nil
}
