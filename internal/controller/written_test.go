package controller

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

// A namespace's objects are large while its writes have many bytes, and small
// again soon after. Reads, and writes outside namespaces, do not count.
func TestANamespaceIsLargeByWhatIsWritten(t *testing.T) {
	t.Parallel()
	const large, small = 1 << 20, 100
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var bytes int
		_, _ = fmt.Sscan(r.URL.Query().Get("bytes"), &bytes)
		_, _ = io.WriteString(w, strings.Repeat("x", bytes))
	}))
	defer api.Close()
	known := newWritten(testingclock.NewFakePassiveClock(time.Now()))
	through := &http.Client{Transport: known.Wrap(http.DefaultTransport)}
	send := func(method, path string, sent, answered int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("%s%s?bytes=%d", api.URL, path, answered), strings.NewReader(strings.Repeat("x", sent)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := through.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	const object, status = "/apis/nfo.dev/v1alpha1/namespaces/a/artifactmanifests/m", "/apis/nfo.dev/v1alpha1/namespaces/b/artifactmanifests/m/status"
	send(http.MethodGet, object, 0, large)
	send(http.MethodPatch, "/apis/nfo.dev/v1alpha1/kinds/m", small, large)
	send(http.MethodPatch, object, small, small)
	if len(known.usual) != 0 {
		t.Fatalf("known of small writes, and of reads: %v", known.usual)
	}
	send(http.MethodPatch, object, small, large) // its answer is the object
	send(http.MethodPut, status, large, small)
	if !known.large("a") || !known.large("b") || known.large("c") {
		t.Errorf("usual writes: %v", known.usual)
	}
	for range 4 * writesCounted {
		send(http.MethodPatch, object, small, small)
	}
	if known.large("a") || len(known.usual) != 1 {
		t.Errorf("usual writes after many small ones: %v", known.usual)
	}
}

// A namespace whose objects are no longer written must get its places back, and must not take memory for ever.
func TestANamespaceIsNotLargeForEver(t *testing.T) {
	t.Parallel()
	now := testingclock.NewFakePassiveClock(time.Now())
	known := newWritten(now)
	known.count("a", writesCounted*4*largeWrite)
	for _, past := range []struct {
		after time.Duration
		large bool
	}{{usualHalves, true}, {usualHalves - 1, true}, {2, true}, {usualHalves / 2, true}, {usualHalves / 2, false}} {
		now.SetTime(now.Now().Add(past.after))
		if got := known.large("a"); got != past.large {
			t.Errorf("after %s more it is large: %t", past.after, got)
		}
	}
	now.SetTime(now.Now().Add(1000 * usualHalves))
	known.count("b", writesCounted*largeWrite) // nothing asks for a
	if len(known.usual) != 1 || !known.large("b") {
		t.Errorf("it is remembered: %v", known.usual)
	}
}
