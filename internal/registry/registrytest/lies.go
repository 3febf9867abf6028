package registrytest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Ask is a kind of request that reads.
type Ask string

// The kinds of reads that a client sends to a registry.
const (
	AskBase       Ask = "GET base"
	AskTags       Ask = "GET tags"
	AskTagHead    Ask = "HEAD tag"
	AskTag        Ask = "GET tag"
	AskDigestHead Ask = "HEAD digest"
	AskDigest     Ask = "GET digest"
	AskBlob       Ask = "GET blob"
	AskList       Ask = "GET list" // list of image manifests, after ServeACR
	// AskManifests and AskEverything stand for several kinds: a proxy in front
	// of the registry, or damage to its files, affects more than one kind.
	AskManifests  Ask = "manifests"
	AskEverything Ask = "everything"
)

// includes reports whether a stands for the kind one.
func (a Ask) includes(one Ask) bool {
	switch a {
	case AskEverything:
		return one != ""
	case AskManifests:
		return slices.Contains([]Ask{AskTagHead, AskTag, AskDigestHead, AskDigest}, one)
	}
	return a == one
}

// Asks returns all kinds of reads.
func Asks() []Ask {
	return []Ask{AskBase, AskTags, AskTagHead, AskTag, AskDigestHead, AskDigest, AskBlob, AskList, AskManifests, AskEverything}
}

// askOf returns the kind of a request; "" for a write.
func askOf(req *http.Request) Ask {
	read := req.Method == http.MethodGet || req.Method == http.MethodHead
	last := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
	switch {
	case !read:
		return ""
	case req.URL.Path == "/v2/":
		return AskBase
	case strings.HasSuffix(req.URL.Path, "/tags/list"):
		return AskTags
	case strings.HasSuffix(req.URL.Path, "/_manifests"):
		return AskList
	case strings.Contains(req.URL.Path, "/blobs/"):
		return AskBlob
	case strings.Contains(req.URL.Path, "/manifests/") && strings.Contains(last, ":"):
		return Ask(req.Method + " digest")
	case strings.Contains(req.URL.Path, "/manifests/"):
		return Ask(req.Method + " tag")
	}
	return ""
}

// Lie is a wrong answer, such as that of a proxy in front of the registry, or
// of a registry that is starting, restored from a backup, or a lagging replica.
type Lie struct {
	Name string
	// about has the kinds of reads that the lie can answer, none for all kinds. Others get the true answer.
	about  []Ask
	answer func(l *Liar, w http.ResponseWriter, req *http.Request)
}

// Fits reports whether the lie can answer a kind of read.
func (l Lie) Fits(a Ask) bool { return len(l.about) == 0 || slices.ContainsFunc(l.about, a.includes) }

// Lies returns all lies.
func Lies() []Lie {
	say := func(status int, contentType, body string) func(*Liar, http.ResponseWriter, *http.Request) {
		return func(_ *Liar, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	fails := func(code func(Ask) string) func(*Liar, http.ResponseWriter, *http.Request) {
		return func(_ *Liar, w http.ResponseWriter, req *http.Request) {
			Fail(w, http.StatusNotFound, code(askOf(req)), "not known to the registry")
		}
	}
	return []Lie{
		{Name: "404 text", answer: say(http.StatusNotFound, "text/plain; charset=utf-8", "404 page not found\n")},
		{Name: "404 page", answer: say(http.StatusNotFound, "text/html", "<html>default backend</html>")},
		{Name: "404 JSON", answer: say(http.StatusNotFound, "application/json", `{"message":"no route matched"}`)},
		{Name: "404 wrong code", answer: fails(func(a Ask) string {
			if a == AskBlob {
				return "MANIFEST_UNKNOWN"
			}
			return "BLOB_UNKNOWN"
		})},
		{Name: "404 right code", answer: fails(func(a Ask) string {
			switch a {
			case AskTags, AskList:
				return "NAME_UNKNOWN"
			case AskBlob:
				return "BLOB_UNKNOWN"
			}
			return "MANIFEST_UNKNOWN"
		})},
		{Name: "200 nothing", answer: say(http.StatusOK, "application/json", "")},
		{Name: "200 empty list", about: []Ask{AskTags, AskList}, answer: (*Liar).empty},
		{Name: "503", answer: say(http.StatusServiceUnavailable, "text/plain", "starting")},
		{Name: "hang", answer: func(_ *Liar, _ http.ResponseWriter, req *http.Request) {
			select {
			case <-req.Context().Done():
			case <-time.After(10 * time.Second):
			}
			panic(http.ErrAbortHandler)
		}},
		{Name: "stale", about: []Ask{AskTags, AskTagHead, AskTag, AskDigestHead, AskDigest, AskList}, answer: (*Liar).stale},
	}
}

// Liar answers reads of one kind wrongly for some time. It is safe for concurrent use.
type Liar struct {
	registry *Registry
	ask      Ask
	lie      Lie

	mu    sync.Mutex
	armed func()            // called at the next write
	until time.Time         // lies until this time, or
	left  int               // for this number of requests
	lied  int               // how many times it has lied
	now   map[string]answer // the last true answers, by request
	then  map[string]answer // the true answers at the time when the lying began
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// NewLiar puts a liar in front of a registry. It does not lie until Times or For is called.
func NewLiar(r *Registry, ask Ask, lie Lie) *Liar {
	l := &Liar{registry: r, ask: ask, lie: lie, now: map[string]answer{}}
	r.Intercept(l.intercept)
	return l
}

// Times makes the liar lie to the next n requests of its kind.
func (l *Liar) Times(n int) { l.begin(n, time.Time{}) }

// For makes the liar lie for a time.
func (l *Liar) For(d time.Duration) { l.begin(0, time.Now().Add(d)) }

func (l *Liar) begin(n int, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed, l.left, l.until = nil, n, until
	l.then = map[string]answer{}
	maps.Copy(l.then, l.now)
}

// AtWrite calls begin, which calls Times or For, at the next write to the
// registry. The lies thus affect the reads by which a client checks its write.
func (l *Liar) AtWrite(begin func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = begin
}

// Stop ends the lying, and an AtWrite that is pending.
func (l *Liar) Stop() { l.begin(0, time.Time{}) }

// Lied returns how many times the liar has lied.
func (l *Liar) Lied() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lied
}

func (l *Liar) intercept(w http.ResponseWriter, req *http.Request) bool {
	ask := askOf(req)
	if ask == "" {
		l.mu.Lock()
		begin := l.armed
		l.mu.Unlock()
		if begin != nil {
			begin()
		}
	}
	if !l.ask.includes(ask) || !l.lie.Fits(ask) {
		return false
	}
	l.mu.Lock()
	lying := l.left > 0 || time.Now().Before(l.until)
	if lying {
		l.lied++
		l.left = max(0, l.left-1)
	}
	l.mu.Unlock()
	if lying {
		l.lie.answer(l, w, req)
		return true
	}
	if l.lie.Name == "stale" {
		l.remember(w, req)
		return true
	}
	return false
}

// LieAtRandom makes a registry answer a share of all reads wrongly, with any lie
// that fits and needs no memory. It returns a function that counts the lies.
func LieAtRandom(r *Registry, share float64) (lied func() int64) {
	var count atomic.Int64
	lies := slices.DeleteFunc(Lies(), func(l Lie) bool { return l.Name == "stale" || l.Name == "hang" })
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		ask := askOf(req)
		if ask == "" || rand.Float64() >= share {
			return false
		}
		lie := lies[rand.IntN(len(lies))]
		if !lie.Fits(ask) {
			return false
		}
		count.Add(1)
		lie.answer(nil, w, req)
		return true
	})
	return count.Load
}

func key(req *http.Request) string { return fmt.Sprintf("%s %s", req.Method, req.URL) }

// remember sends the true answer and stores it.
func (l *Liar) remember(w http.ResponseWriter, req *http.Request) {
	seen := httptest.NewRecorder()
	l.registry.answer(seen, req)
	a := answer{seen.Code, seen.Header().Clone(), bytes.Clone(seen.Body.Bytes())}
	l.mu.Lock()
	l.now[key(req)] = a
	l.mu.Unlock()
	a.write(w)
}

// stale sends the answer from the time when the lying began. A request that had no answer then gets the true one.
func (l *Liar) stale(w http.ResponseWriter, req *http.Request) {
	l.mu.Lock()
	a, known := l.then[key(req)]
	l.mu.Unlock()
	if !known {
		l.registry.answer(w, req)
		return
	}
	a.write(w)
}

// empty answers with an empty list, as a registry does whose files are not mounted.
func (*Liar) empty(w http.ResponseWriter, req *http.Request) {
	name, _ := strings.CutPrefix(req.URL.Path, "/v2/")
	body := fmt.Sprintf(`{"name":%q,"tags":[]}`, strings.TrimSuffix(name, "/tags/list"))
	if askOf(req) == AskList {
		name, _ = strings.CutPrefix(req.URL.Path, "/acr/v1/")
		body = fmt.Sprintf(`{"imageName":%q,"manifests":[]}`, strings.TrimSuffix(name, "/_manifests"))
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(body))
}

func (a answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}
