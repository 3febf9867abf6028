package mirror

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/json"

	"github.com/nfo-operator/nfo/internal/livelist"
)

// hoard serves lists of a namespace whose tenant has stored as much as possible in one kind.
type hoard struct {
	resource string
	// objects is the number of objects before the last one. Each is written in parts, so that it takes no memory in the
	// test: begin, then part repeated up to 1 MiB, and end.
	objects          int
	begin, part, end string
	last             string
}

func (h hoard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource, from, limit := path.Base(r.URL.Path), 0, 0
	_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &from)
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
	kinds := append([]listed{pods, accounts}, makers...)
	kind := kinds[slices.IndexFunc(kinds, func(k listed) bool { return k.resource == resource })].kind
	all, next := h.objects+1, ""
	if resource != h.resource {
		all = 0
	}
	to := min(all, from+limit)
	if to < all {
		next = fmt.Sprint(to)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"kind":"%sList","metadata":{"continue":%q},"items":[`, kind, next)
	for n := from; n < to; n++ {
		if n > from {
			_, _ = io.WriteString(w, ",")
		}
		if n == h.objects {
			_, _ = io.WriteString(w, h.last)
			break
		}
		_, _ = fmt.Fprintf(w, h.begin, n)
		for range (1 << 20) / len(h.part) {
			_, _ = io.WriteString(w, h.part)
		}
		_, _ = io.WriteString(w, h.end)
	}
	_, _ = io.WriteString(w, "]}")
}

// heapDuring returns the size of the heap before f runs, and its maximum while f runs.
func heapDuring(f func()) (before, most uint64) {
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // so that the heap contains little garbage
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	runtime.GC()
	before = heap()
	ended, sampled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			most = max(most, heap())
			select {
			case <-ended:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	f()
	close(ended)
	<-sampled
	return before, most
}

// However much tenants store, Ask needs the memory of one object at a time, and finds a login behind all others.
func TestALookCostsWhatIsKept(t *testing.T) { // not parallel, because allocations of other tests would count
	const most = 64 << 20
	s := private(t)
	i := s.image("upf:1")
	spec := fmt.Sprintf(`{"containers":[{"name":"upf","image":%q}],"imagePullSecrets":[{"name":"right"}]}`, i)
	env := `{"containers":[{"name":"upf","image":"elsewhere.example/x:1","env":[{"name":"A","value":"`
	for name, h := range map[string]hoard{
		"one name": {resource: "serviceaccounts", begin: `{"metadata":{"name":"a-%d"},"imagePullSecrets":[{"name":"a`, part: "aaaaaaaa", end: `"}]}`, last: `{"metadata":{"name":"default"},"imagePullSecrets":[{"name":"right"}]}`},
		"names": {
			resource: "serviceaccounts", begin: `{"metadata":{"name":"a-%d"},"imagePullSecrets":[{}`, part: `,{"name":"` + strings.Repeat("a", 254) + `"},{}`, end: `]}`,
			last: `{"metadata":{"name":"default"},"imagePullSecrets":[{"name":"right"}]}`,
		},
		"pods":      {resource: "pods", begin: `{"metadata":{"name":"p-%d"},"spec":` + env, part: "aaaaaaaa", end: `"}]}]}}`, last: `{"spec":` + spec + `}`},
		"templates": {resource: "deployments", begin: `{"metadata":{"name":"d-%d"},"spec":{"template":{"spec":` + env, part: "aaaaaaaa", end: `"}]}]}}}}`, last: `{"spec":{"template":{"spec":` + spec + `}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			h.objects = 150
			api := httptest.NewServer(h)
			t.Cleanup(api.Close)
			var err error
			if s.mirror.lists, err = newLists(&rest.Config{Host: api.URL}, api.Client()); err != nil {
				t.Fatal(err)
			}
			var found []string
			before, peak := heapDuring(func() { found, err = s.mirror.podSecrets(t.Context(), s.question("ran", i)) })
			if err != nil || !slices.Equal(found, []string{"right"}) {
				t.Errorf("found %.100q, %v", found, err)
			}
			t.Logf("%d MiB, and %d MiB before", peak>>20, before>>20)
			if peak > before+most {
				t.Errorf("a look at %d MiB took %d MiB", h.objects, (peak-before)>>20)
			}
		})
	}
}

// Only the first valid names in a list of pull secrets are kept.
func TestNamesThatSecretsCanHave(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 253)
	var many, first []string
	for n := range 2 * maxLogins {
		many = append(many, fmt.Sprintf(`{"name":"s-%d"}`, n))
		first = append(first, fmt.Sprintf("s-%d", n))
	}
	for name, tt := range map[string]struct {
		text string
		want []string
		some bool
	}{
		"none":     {`[]`, nil, false},
		"null":     {`null`, nil, false},
		"empty":    {`[{},{"name":""},null]`, nil, false},
		"two":      {`[{"name":"b"},{"name":"a.b-c"},{"name":"b"}]`, []string{"b", "a.b-c"}, true},
		"too long": {`[{"name":"` + longest + `a"},{"name":"` + longest + `"}]`, []string{longest}, true},
		"no names": {`[{"name":"../a"},{"name":"A"},{"name":"a b"}]`, nil, true},
		"too many": {`[` + strings.Join(many, ",") + `]`, first[:maxLogins], true},
	} {
		var got struct {
			Secrets secretNames `json:"imagePullSecrets"`
		}
		err := json.UnmarshalCaseSensitivePreserveInts([]byte(`{"imagePullSecrets":`+tt.text+`}`), &got)
		if err != nil || !slices.Equal(got.Secrets.first, tt.want) || got.Secrets.some != tt.some {
			t.Errorf("%s: %+v, %v", name, got.Secrets, err)
		}
	}
	for _, text := range []string{`{}`, `"a"`, `[1]`, `[{"name":1}]`} {
		var got secretNames
		if err := json.UnmarshalCaseSensitivePreserveInts([]byte(text), &got); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// A pod that uses the image and references only invalid names of
// Secrets has no login, and does not get the logins of other pods.
func TestAPodThatNamesNoSecret(t *testing.T) {
	t.Parallel()
	s := private(t)
	i := s.image("upf:1")
	using := pod("ran", i.String(), "../a")
	using.Spec.ServiceAccountName = ""
	s.create(using, account("ran", "default", "right"))
	if names, err := s.mirror.podSecrets(t.Context(), s.question("ran", i)); err != nil || len(names) > 0 {
		t.Errorf("found %q, %v", names, err)
	}
}

// Many concurrent calls keep only few objects in memory.
func TestFewPagesAtOnce(t *testing.T) {
	t.Parallel()
	came, answers := make(chan struct{}, 3*pagesAtOnce), make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		came <- struct{}{}
		<-answers
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"PodList","metadata":{},"items":[{}]}`)
	}))
	t.Cleanup(api.Close)
	l, err := newLists(&rest.Config{Host: api.URL}, api.Client())
	if err != nil {
		t.Fatal(err)
	}
	var looks sync.WaitGroup
	for range 3 * pagesAtOnce {
		looks.Go(func() {
			if err := l.each(t.Context(), pods, "ran", func(livelist.Decoder) error { return errEnough }); err != nil {
				t.Error(err)
			}
		})
	}
	for range pagesAtOnce {
		<-came
	}
	select {
	case <-came:
		t.Errorf("more than %d pages are read at once", pagesAtOnce)
	case <-time.After(100 * time.Millisecond):
	}
	close(answers)
	looks.Wait()
}

// A list that is cut short is an error. It must not be taken for a shorter list of logins.
func TestAListThatIsCutShort(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"PodList","metadata":{},"items":[{"spec":{}}`)
	}))
	t.Cleanup(api.Close)
	s := private(t)
	var err error
	if s.mirror.lists, err = newLists(&rest.Config{Host: api.URL}, api.Client()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.mirror.Ask(t.Context(), s.question("ran", s.image("upf:1"))); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the answer is %v", err)
	}
}
