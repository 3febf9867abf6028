package chart

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// ChildFailed is the exit code of a process for which [Serve] failed: it did not come to
// read the chart. Go itself exits with 2.
const ChildFailed = 3

// childFull is the exit code of a process with more live data than the limits allow.
const childFull = 4

// Deep recursion ends here, well before it has used up the memory.
const maxStackBytes = 64 << 20

// task is what a child is asked to do: to read a chart or, if there are any, release records.
type task struct {
	Request
	// Records are values of data.release, which are base64.
	Records [][]byte `json:",omitempty"`
}

// Serve reads one request from in, reads the chart or the release records, and writes to out what it finds, as it
// finds it. It is what the process of a [Reader] does: it takes from this process, until its end,
// all memory, time and files over the limits, so that only death can follow where a chart wants more.
func Serve(limits Limits, in io.Reader, out io.Writer) error {
	limits = limits.withDefaults()
	if err := confine(limits); err != nil {
		return err
	}
	endWhenFull(uint64(limits.live()))
	log.SetOutput(io.Discard) // Helm's warnings on charts
	var q task
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("decoding the request: %w", err)
	}
	answers := json.NewEncoder(out)
	if len(q.Records) > 0 {
		return readRecords(q.Records, func(a recordAnswer) error { return answers.Encode(a) })
	}
	return readChart(q.Request, func(a chartAnswer) error { return answers.Encode(a) })
}

// endWhenFull ends this process if more data than that is live after a collection of garbage. What is mapped says
// little of what a chart needs: it depends on when garbage is collected.
func endWhenFull(limit uint64) {
	type watch struct{ _ [64]byte } // too large to share its memory with others, which would keep it
	var collected func(*watch)
	collected = func(*watch) {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		if metrics.Read(sample); sample[0].Value.Kind() == metrics.KindUint64 && sample[0].Value.Uint64() > limit {
			os.Exit(childFull)
		}
		runtime.SetFinalizer(&watch{}, collected)
	}
	runtime.SetFinalizer(&watch{}, collected)
}

// confine limits this process.
func confine(limits Limits) error {
	// Where memory is short for all, this process goes first. Not every kernel lets it say so.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	debug.SetMaxStack(maxStackBytes)
	// Go opens its poller with the first timer. Later it could not, and would end the process.
	time.AfterFunc(time.Hour, func() {}).Stop()
	return limitResources(limits)
}
