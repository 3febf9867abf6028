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
	// maxManifest is the maximum size of a manifest in registries, in bytes.
	maxManifest = 4 << 20
	// maxReason bounds the reason in an error response, in bytes.
	maxReason = 1 << 10
	// chunk is the size of the buffer for a blob, in bytes.
	chunk = 32 << 10
	// leastSent is the amount that an origin must send in the time
	// Options.Stall, in bytes. By default this is about 2 KiB/s.
	leastSent = 64 << 10
)

var (
	errSlow   = errors.New("it has not begun to answer in time")
	errStuck  = errors.New("it has stopped sending")
	errSparse = fmt.Errorf("it sends too slowly, less than %d KiB in the time that it has for them", leastSent>>10)
	errDigest = errors.New("the manifest that it sends does not have the digest that it must have")
	errNamed  = errors.New("what answers does not name the digest of what it sends, as the registry does")
)

// answer is a response of the registry or an origin that has begun.
type answer struct {
	status int
	header http.Header
	body   io.Reader
	// end cancels the request, even if the body has not been read completely.
	end context.CancelCauseFunc
	// close ends the request and frees the connection.
	close func()
}

// within sends a request whose answer must begin within a limit. An answer that has begun lasts until answer.end.
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
		_ = resp.Body.Close() // the answer is not used
		end(nil)
		return nil, errSlow
	}
	return &answer{
		status: resp.StatusCode, header: resp.Header, body: resp.Body, end: end,
		close: func() {
			end(nil)
			_ = resp.Body.Close() // everything that is needed has been read
		},
	}, nil
}

// then adds a function that is called when the answer is closed.
func (a *answer) then(f func()) {
	closing := a.close
	a.close = func() {
		closing()
		f()
	}
}

// ok reports whether an answer has what was requested. A range that does not exist counts as an answer too.
func (a *answer) ok() bool {
	switch a.status {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		return true
	}
	return false
}

// named checks that an answer comes from the registry that nfo ships, which sends the digest with everything.
func (a *answer) named(asked ask) error {
	said := a.header.Get("Docker-Content-Digest")
	if a.status != http.StatusRequestedRangeNotSatisfiable && (said == "" || asked.digest != "" && said != asked.digest.String()) {
		return errNamed
	}
	return nil
}

// verify reads a manifest in the time that is left and checks its digest. That is
// the requested digest or, for a tag, the one in the header of the answer.
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

// passed are the headers of an answer that are sent on to the node.
var passed = []string{"Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Accept-Ranges", "Docker-Content-Digest", "Etag", "Last-Modified"}

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// relay sends an answer to the node. Neither side may make no progress for longer than idle. After an error the caller
// must end the connection, so that the node does not take an incomplete body for a complete one.
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

// paced is the body of an origin's answer. It fails if leastSent bytes, or the rest, do not arrive within the time
// stall. Only the time in Read counts, and not the time that the node needs to take the bytes.
type paced struct {
	body  io.Reader
	end   context.CancelCauseFunc
	stall time.Duration
	// waited is the time spent in Read since the last leastSent bytes
	// were complete, and sent is the number of bytes since then.
	waited time.Duration
	sent   int
}

// Read reads from the body. It waits at most for what is left of stall.
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

// refuse responds with an error in the format of registries.
func refuse(w http.ResponseWriter, status int, code, why string) {
	type said struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]said{"errors": {{code, v1alpha1.Clip(v1alpha1.Line(why), maxReason)}}})
	if err != nil {
		body = nil // two strings can always be encoded
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the node may have closed the connection
}
