package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// maxManifest is the longest manifest, in bytes, that registries take.
	maxManifest = 4 << 20
	// maxReason is how much of why an image is missing an answer says, in bytes.
	maxReason = 1 << 10
	// chunk is how much of a blob is in memory.
	chunk = 32 << 10
	// leastSent is how much of an answer an origin has to send in the time Options.Stall, in bytes: 2 KiB a second.
	leastSent = 64 << 10
)

var (
	errSlow   = errors.New("it has not begun to answer in time")
	errStuck  = errors.New("it has stopped sending")
	errSparse = fmt.Errorf("it sends too slowly, less than %d KiB in the time that it has for them", leastSent>>10)
	errDigest = errors.New("the manifest that it sends does not have the digest that it must have")
	errNamed  = errors.New("what answers does not name the digest of what it sends, as the registry does")
)

// answer is what the registry or an origin has begun to send.
type answer struct {
	status int
	header http.Header
	body   io.Reader
	// end ends the request, whether all has been read or not.
	end context.CancelCauseFunc
	// close lets the connection go.
	close func()
}

// within sends a request whose answer must begin in time. What has begun lasts until answer.end.
func within(ctx context.Context, limit time.Duration, send func(context.Context) (*http.Response, error)) (*answer, error) {
	ctx, end := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { end(errSlow) })
	resp, err := send(ctx)
	if err != nil {
		timer.Stop()
		if cause := context.Cause(ctx); errors.Is(cause, errSlow) {
			err = cause
		}
		end(nil)
		return nil, err
	}
	if !timer.Stop() {
		_ = resp.Body.Close() // nothing of it is of use
		end(nil)
		return nil, errSlow
	}
	return &answer{
		status: resp.StatusCode, header: resp.Header, body: resp.Body, end: end,
		close: func() {
			end(nil)
			_ = resp.Body.Close() // all that is wanted of it has been read
		},
	}, nil
}

// then has a function called when an answer is closed.
func (a *answer) then(f func()) {
	closing := a.close
	a.close = func() {
		closing()
		f()
	}
}

// ok reports whether an answer has what was asked for. A range that is not there is an answer too.
func (a *answer) ok() bool {
	switch a.status {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		return true
	}
	return false
}

// named checks that an answer is of the registry that nfo ships, which says of everything what digest it has.
func (a *answer) named(asked ask) error {
	said := a.header.Get("Docker-Content-Digest")
	if a.status != http.StatusRequestedRangeNotSatisfiable && (said == "" || asked.digest != "" && said != asked.digest.String()) {
		return errNamed
	}
	return nil
}

// verify reads a manifest, in the time that is left, and checks its digest: the one that was asked for, or that the
// answer is said to have.
func (a *answer) verify(asked ask, left time.Duration) error {
	want := asked.digest
	if want == "" {
		want = digest.Digest(a.header.Get("Docker-Content-Digest"))
	}
	timer := time.AfterFunc(left, func() { a.end(errSlow) })
	defer timer.Stop()
	content, err := io.ReadAll(io.LimitReader(a.body, maxManifest+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading a manifest: %w", err)
	case len(content) > maxManifest:
		return fmt.Errorf("reading a manifest: it has more than %d bytes", maxManifest)
	case want != "" && (want.Validate() != nil || want.Algorithm().FromBytes(content) != want):
		return errDigest
	}
	a.body = bytes.NewReader(content)
	a.header = a.header.Clone()
	a.header.Set("Content-Length", strconv.Itoa(len(content)))
	return nil
}

// passed are the headers of an answer that go on to the node.
var passed = []string{"Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Accept-Ranges", "Docker-Content-Digest", "Etag", "Last-Modified"}

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// relay sends an answer to the node. Neither may stop for longer than idle. Where it breaks off, the connection has to end,
// so that the node does not take what it has for all.
func (a *answer) relay(w http.ResponseWriter, method string, idle time.Duration) error {
	defer a.close()
	for _, name := range passed {
		if v := a.header.Values(name); len(v) > 0 {
			w.Header()[name] = v
		}
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.WriteHeader(a.status)
	if method == http.MethodHead {
		return nil
	}
	buffer, _ := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buffer)
	return a.copy(w, buffer[:], idle)
}

func (a *answer) copy(w http.ResponseWriter, buffer []byte, idle time.Duration) error {
	writing := http.NewResponseController(w)
	timer := time.AfterFunc(idle, func() { a.end(errStuck) })
	defer timer.Stop()
	for {
		timer.Reset(idle)
		n, err := a.body.Read(buffer)
		timer.Stop()
		if n > 0 {
			if err := writing.SetWriteDeadline(time.Now().Add(idle)); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return fmt.Errorf("limiting the time of a write: %w", err)
			}
			if _, err := w.Write(buffer[:n]); err != nil {
				return fmt.Errorf("sending to the node: %w", err)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading what is sent on: %w", err)
		}
	}
}

// paced is what an origin sends. It ends where leastSent bytes of it, or the rest, do not come in the time stall. Only the
// time in which somebody waits for them counts, and not that in which the node takes them.
type paced struct {
	body  io.Reader
	end   context.CancelCauseFunc
	stall time.Duration
	// waited is how long somebody has waited since leastSent bytes had come, and sent is what has come then.
	waited time.Duration
	sent   int
}

// Read waits for as long as is left.
func (p *paced) Read(into []byte) (int, error) {
	timer := time.AfterFunc(p.stall-p.waited, func() { p.end(errSparse) })
	begun := time.Now()
	n, err := p.body.Read(into)
	inTime := timer.Stop()
	p.sent, p.waited = p.sent+n, p.waited+time.Since(begun)
	if p.sent >= leastSent {
		p.sent, p.waited = 0, 0
	}
	if !inTime && !errors.Is(err, io.EOF) {
		err = errSparse
	}
	return n, err
}

// refuse answers with an error as registries write it.
func refuse(w http.ResponseWriter, status int, code, why string) {
	type said struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]said{"errors": {{code, v1alpha1.Clip(v1alpha1.Line(why), maxReason)}}})
	if err != nil {
		body = nil // two texts can always be encoded
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // who has gone does not read it
}
