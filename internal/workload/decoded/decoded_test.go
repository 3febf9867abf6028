package decoded

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/nfo-operator/nfo/internal/chart/record"
)

// large takes a MiB.
var large = record.Result{Release: record.Release{Images: []record.Image{{Reference: strings.Repeat("x", 1<<20)}}}}

func id(n int) ID { return ID{"a", fmt.Sprint(n)} }

func (d *Records) len() (n int) {
	for _, of := range d.results {
		n += len(of)
	}
	return n
}

func TestDecodedRecordsAreBounded(t *testing.T) {
	t.Parallel()
	clock := clocktesting.NewFakePassiveClock(time.Now())
	d := New(clock)
	for i := range 100 {
		d.Put("a", id(i), large)
	}
	if _, ok := d.Get("a", id(0)); !ok || d.bytes.All() > most || d.len() != 15 {
		t.Errorf("%d results with %d bytes", d.len(), d.bytes.All())
	}
	clock.SetTime(clock.Now().Add(30 * time.Minute))
	_, _ = d.Get("a", id(0))
	clock.SetTime(clock.Now().Add(45 * time.Minute))
	d.Put("a", id(101), large)
	if _, ok := d.Get("a", id(101)); !ok || d.len() != 2 {
		t.Errorf("results that nobody used were not dropped: there are %d", d.len())
	}
	if _, ok := d.Get("a", id(0)); !ok {
		t.Error("what is used made room")
	}
	d.Put("a", ID{"", "1"}, large)
	if _, ok := d.Get("a", ID{"", "1"}); ok {
		t.Error("a record without an identity is remembered")
	}
}

// A tenant with large records takes no room from others.
func TestTheNamespaceThatHasMostMakesRoom(t *testing.T) {
	t.Parallel()
	d := New(clocktesting.NewFakePassiveClock(time.Now()))
	for i := range 20 {
		d.Put("a", id(i), large)
	}
	for i := range 4 {
		d.Put("b", id(i), large)
	}
	for i := range 20 {
		d.Put("a", id(100+i), large)
	}
	if len(d.results["b"]) != 4 || len(d.results["a"]) != 11 || d.bytes.All() > most {
		t.Errorf("a has %d results and b %d", len(d.results["a"]), len(d.results["b"]))
	}
}
