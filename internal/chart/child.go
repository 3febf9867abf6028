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

// ChildFailed is the exit code of a process in which [Serve]
// failed, so that the chart was not read. Go itself exits with 2.
const ChildFailed = 3

// childFull is the exit code of a process with more live data than the limits allow.
const childFull = 4

// maxStackBytes ends a deep recursion well before it has used up the memory.
const maxStackBytes = 64 << 20

// task is the request to a child: to read a chart or, if there are any, release records.
type task struct {
	Request
	// Records are values of data.release, which are base64.
	Records [][]byte `json:",omitempty"`
}

// Serve reads one request from in, reads the chart or the release records, and writes the results to out
// as it finds them. The process of a [Reader] calls it. Serve limits the memory, time and files of the
// whole process until it ends, so a chart that needs more ends the process.
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

// endWhenFull ends this process if a garbage collection leaves more live data than the limit. The mapped memory would
// say little about what a chart needs, because it depends on when garbage is collected.
func endWhenFull(limit uint64) {
	type watch struct{ _ [64]byte } // tiny objects share a memory block, which others may keep alive
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

// confine limits the resources of this process.
func confine(limits Limits) error {
	// If memory is short for everything, the kernel ends this process first. Not every kernel allows to set this.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	debug.SetMaxStack(maxStackBytes)
	// Go opens its poller with the first timer. After the limits are set this would fail and end the process.
	time.AfterFunc(time.Hour, func() {}).Stop()
	return limitResources(limits)
}
