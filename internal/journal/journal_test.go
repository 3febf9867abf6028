package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

var acme = types.NamespacedName{Namespace: "ns", Name: "acme"}

func newJournal(t *testing.T) *Journal {
	t.Helper()
	j, err := New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// logged runs f and returns the lines that it logs, decoded, without their times.
func logged(t *testing.T, f func(context.Context)) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	f(log.IntoContext(t.Context(), logr.FromSlogHandler(slog.NewJSONHandler(&out, nil))))
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		delete(l, "time")
		lines = append(lines, l)
	}
	return lines
}

// Each action writes one line, whose keys scripts and alerts rely on, and increases one counter by one.
func TestEachActIsOneLineAndCounted(t *testing.T) {
	t.Parallel()
	tag := Tag{Store: acme, Manifest: "upf", Repository: "acme/upf/nginx", Tag: "1.0", Digest: "sha256:a", Tombstone: "upf-1"}
	keys := []string{"digest", "event", "level", "manifest", "msg", "repository", "store", "storeNamespace", "tag", "tombstone"}
	tests := map[string]struct {
		act    func(context.Context, *Journal)
		event  string
		keys   []string
		metric string
		labels string
	}{
		"Untagged":    {func(ctx context.Context, j *Journal) { j.Untagged(ctx, tag) }, "Untagged", keys, "nfo_tags_removed_total", `namespace="ns",store="acme"`},
		"Restored":    {func(ctx context.Context, j *Journal) { j.Restored(ctx, tag) }, "Restored", keys, "nfo_tags_restored_total", `namespace="ns",store="acme"`},
		"NotRestored": {func(ctx context.Context, j *Journal) { j.NotRestored(ctx, tag, "UndoLost") }, "NotRestored", append([]string{"reason"}, keys...), "nfo_tags_not_restored_total", `namespace="ns",reason="UndoLost",store="acme"`},
		"Released": {func(ctx context.Context, j *Journal) {
			j.Released(ctx, Release{Store: acme, Manifest: "upf", Cause: v1alpha1.CauseReleased, Outcome: OutcomeHeld, Why: "in use", Took: time.Second})
		}, "Release", []string{"cause", "event", "level", "manifest", "msg", "outcome", "seconds", "store", "storeNamespace", "why"}, "nfo_releases_total", `cause="Released",namespace="ns",outcome="Held",store="acme"`},
		"Purged": {func(ctx context.Context, j *Journal) {
			j.Purged(ctx, acme, &v1alpha1.PurgeRun{Outcome: v1alpha1.PurgeSucceeded, CompletionTime: metav1.Unix(0, 0), Deleted: 3})
		}, "Purged", []string{"deleted", "ended", "event", "kept", "level", "message", "msg", "outcome", "reclaimedBytes", "store", "storeNamespace"}, "nfo_purges_total", `namespace="ns",outcome="Succeeded",store="acme"`},
		"Refused": {func(ctx context.Context, j *Journal) {
			j.Refused(ctx, Refusal{Kind: "ArtifactManifest", Namespace: "ns", Name: "upf", Operation: "DELETE", Reason: "Conflict", Message: "in use"})
		}, "Refused", []string{"dryRun", "event", "kind", "level", "message", "msg", "objectName", "objectNamespace", "operation", "reason"}, "nfo_refusals_total", `kind="ArtifactManifest",operation="DELETE",reason="Conflict"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			lines := logged(t, func(ctx context.Context) { tc.act(ctx, j) })
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			var got []string
			for k := range lines[0] {
				got = append(got, k)
			}
			slices.Sort(got)
			slices.Sort(tc.keys)
			if diff := cmp.Diff(tc.keys, got); diff != "" || lines[0]["event"] != tc.event {
				t.Errorf("event %v; keys -want +got\n%s", lines[0]["event"], diff)
			}
			is := shown(t, j, tc.metric)
			if want := tc.metric + "{" + tc.labels + "} 1\n"; is != want {
				t.Errorf("counted %q, want %q", is, want)
			}
			var none *Journal
			if again := logged(t, func(ctx context.Context) { tc.act(ctx, none) }); len(again) != 1 {
				t.Errorf("without metrics there are %d lines", len(again))
			}
		})
	}
}

// shown returns the values of a metric, one in each line; for a histogram, the sum.
func shown(t *testing.T, j *Journal, metric string) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(j)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var values strings.Builder
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() != metric {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			fmt.Fprintf(&values, "%s{%s} %v\n", metric, strings.Join(labels, ","), m.GetCounter().GetValue()+m.GetHistogram().GetSampleSum())
		}
	}
	return values.String()
}

// A superseded release is not worth a line in the log.
func TestASupersededReleaseIsOnlyCounted(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	if lines := logged(t, func(ctx context.Context) { j.Released(ctx, Release{Store: acme, Outcome: OutcomeSuperseded}) }); len(lines) > 0 {
		t.Errorf("it is logged: %v", lines)
	}
	if got := shown(t, j, "nfo_releases_total"); !strings.Contains(got, OutcomeSuperseded) {
		t.Errorf("it is not counted: %q", got)
	}
}

// An error may contain a registry's answer of any length.
func TestWhyAReleaseFailedIsOneShortLine(t *testing.T) {
	t.Parallel()
	lines := logged(t, func(ctx context.Context) {
		newJournal(t).Released(ctx, Release{Store: acme, Outcome: OutcomeFailed, Why: "a\nb" + strings.Repeat("c", 1<<16)})
	})
	why, _ := lines[0]["why"].(string)
	if len(why) > maxMessage || !strings.HasPrefix(why, "a bc") {
		t.Errorf("%d bytes: %.10q", len(why), why)
	}
}

// A registry may answer with any status code: the number of labels is bounded.
func TestRequestsAreCountedByBoundedCodes(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	code := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: j.Requests(acme, http.DefaultTransport)}
	get := func(url string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	for code = 200; code < 600; code++ {
		get(server.URL)
	}
	get("http://127.0.0.1:1")
	counted := shown(t, j, "nfo_store_requests_total")
	if n := strings.Count(counted, "\n"); n != len(codes)+len([]string{"2xx", "3xx", "4xx", "5xx", "error"}) {
		t.Errorf("%d values:\n%s", n, counted)
	}
	for _, want := range []string{`code="404"`, `code="error"`, `code="5xx"`} {
		if !strings.Contains(counted, want) {
			t.Errorf("%s is not among\n%s", want, counted)
		}
	}
	for odd, want := range map[int]string{0: "other", 999: "other", 100: "1xx", 404: "404"} {
		if got := codeOf(odd); got != want {
			t.Errorf("%d is counted as %s, want %s", odd, got, want)
		}
	}
	if methodOf("") != http.MethodGet || methodOf("BREW") != "other" || methodOf(http.MethodHead) != http.MethodHead {
		t.Error("methods are not bounded")
	}
}

// Tenants create and delete stores: the metrics of deleted stores are
// forgotten, and stores above the maximum are counted without names.
func TestWhatIsCountedOfStoresIsBounded(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.Polled(acme, nil)
	j.Polled(acme, errors.New("no answer"))
	j.Polled(types.NamespacedName{Namespace: "ns", Name: "gone"}, nil)
	if _, err := j.Requests(types.NamespacedName{Namespace: "ns", Name: "gone"}, failing{}).RoundTrip(httptest.NewRequest(http.MethodGet, "/", nil)); err == nil { //nolint:bodyclose // none exists
		t.Error("no error")
	}
	j.Keep(map[types.NamespacedName]bool{acme: true})
	if got, want := shown(t, j, "nfo_polls_total"), `nfo_polls_total{namespace="ns",outcome="Answered",store="acme"} 1
nfo_polls_total{namespace="ns",outcome="Failed",store="acme"} 1
`; got != want {
		t.Errorf("counted\n%swant\n%s", got, want)
	}
	if got := shown(t, j, "nfo_store_requests_total"); got != "" {
		t.Errorf("of a store that is gone there is %s", got)
	}
	for i := range maxStores + 10 {
		j.Polled(types.NamespacedName{Namespace: "ns", Name: fmt.Sprint("s", i)}, nil)
	}
	if n := testutil.CollectAndCount(j, "nfo_polls_total"); n != maxStores+2 { // two for acme, and one without a name
		t.Errorf("%d values of %d stores", n, maxStores+11)
	}
	if !strings.Contains(shown(t, j, "nfo_polls_total"), `nfo_polls_total{namespace="",outcome="Answered",store=""} 11`) {
		t.Error("those without a name are not counted together")
	}
}

// An action of a store that is counted while the store is being forgotten is either forgotten too, or counted after that.
func TestAStoreIsForgottenWithAllThatIsCountedOfIt(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	const each = 1_500
	var counting, forgetting sync.WaitGroup
	for worker := range 4 {
		counting.Go(func() {
			for i := range each {
				j.Polled(types.NamespacedName{Namespace: fmt.Sprint(worker), Name: fmt.Sprint(i)}, nil)
			}
		})
	}
	ended := make(chan struct{})
	forgetting.Go(func() {
		for {
			j.Keep(nil)
			select {
			case <-ended:
				return
			default:
			}
		}
	})
	counting.Wait()
	close(ended)
	forgetting.Wait()
	j.Keep(nil)
	if got := shown(t, j, "nfo_polls_total"); strings.Contains(got, `namespace="0"`) || strings.Count(got, "\n") > 1 { // one line for those without a name
		t.Errorf("of stores that are gone there is %.300s", got)
	}
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }

func TestWaitsAreCountedByLane(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.Waits("polls")(3 * time.Second)
	if got := shown(t, j, "nfo_lane_wait_seconds"); !strings.Contains(got, `nfo_lane_wait_seconds{lane="polls"} 3`) {
		t.Error(got)
	}
	var none *Journal
	none.Waits("polls")(time.Second)
	none.Polled(acme, nil)
	none.Keep(nil)
	if none.Requests(acme, failing{}) != (failing{}) {
		t.Error("without metrics there is nothing to count")
	}
}

// The managers and webhooks of one process share their metrics, and another collector with the same names is an error.
func TestOneJournalForOneRegisterer(t *testing.T) {
	t.Parallel()
	to := prometheus.NewRegistry()
	first, err := New(to)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := New(to); err != nil || second != first {
		t.Errorf("%v, %v", second == first, err)
	}
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "nfo_polls_total", Help: "Others'."}))
	if _, err := New(taken); err == nil {
		t.Error("no error")
	}
	if problems, err := testutil.CollectAndLint(first); err != nil || len(problems) > 0 {
		t.Errorf("the names are against the conventions: %v, %v", problems, err)
	}
}
