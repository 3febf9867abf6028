package serve

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/share"
)

const (
	queueTime = 10 * time.Second
	// idle is how long a client may send or receive nothing. While the registry waits for its body, the client must
	// also send leastSent within idle: 273 bytes a second. It must receive each 32 KiB of the answer within idle.
	idle = time.Minute
	// unread is how long the server waits for the rest of a body that the handler has not read, before it answers.
	unread = 5 * time.Second
	// leastSent is the number of bytes that a client must send within idle.
	leastSent = 16 << 10
	// manifestTime bounds how long a large manifest may take to arrive, because others wait for its place.
	manifestTime = 30 * time.Second
)

// errSlow means that a client sends so slowly that it would keep others waiting.
var errSlow = fmt.Errorf("the client sends less than %d bytes in %s, or a manifest of more than %d KiB for longer than %s", leastSent, idle, storage.Large>>10, manifestTime)

var errBusy = errors.New("the registry has too many requests at the moment")

// turns bounds the number of concurrent requests, in total and for each client, and how many of a client wait.
type turns struct {
	all chan struct{}
	// client returns the name of a request's client, or "" to identify the client by its address.
	client func(*http.Request) string
	// refused is called for each refused request.
	refused func()
	clients *share.Shares[[sha256.Size]byte, *client]
}

// client has the limits of one client.
type client struct {
	turns share.Turns
	// large is the place for the one large manifest that the client may have at a time.
	large chan struct{}
}

type clientKey struct{}

// largeOf returns the place for a large manifest of a request's client, or nil if the client is unknown.
func largeOf(ctx context.Context) chan struct{} {
	if c, ok := ctx.Value(clientKey{}).(*client); ok {
		return c.large
	}
	return nil
}

func newTurns(most int) *turns {
	return &turns{all: make(chan struct{}, most), client: tokenOf, refused: func() {}, clients: share.New[[sha256.Size]byte](func() *client {
		return &client{turns: share.NewTurns(max(most/4, 1), 2*most), large: make(chan struct{}, 1)}
	})}
}

func (t *turns) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		own, leave, err := t.enter(req)
		if err != nil {
			t.refused()
			w.Header().Set("Retry-After", "5")
			fail(w, http.StatusServiceUnavailable, "TOOMANYREQUESTS", err.Error())
			return
		}
		defer leave()
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), clientKey{}, own)))
	})
}

func (t *turns) enter(req *http.Request) (own *client, leave func(), err error) {
	own, done := t.clients.Take(t.keyOf(req))
	ctx, cancel := context.WithTimeout(req.Context(), queueTime)
	defer cancel()
	if err := own.turns.Take(ctx); err != nil {
		done()
		return nil, nil, fmt.Errorf("%w from this client: %d are answered at a time, and %d may wait", errBusy, own.turns.AtOnce(), own.turns.Waiting())
	}
	if err := take(ctx, t.all); err != nil {
		own.turns.Return()
		done()
		return nil, nil, fmt.Errorf("%w: %d are answered at a time", err, cap(t.all))
	}
	return own, func() {
		<-t.all
		own.turns.Return()
		done()
	}, nil
}

func take(ctx context.Context, from chan struct{}) error {
	select {
	case from <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errBusy
	}
}

// keyOf identifies a client by its name or, if it has none, by its address. A token that is not accepted does not
// identify a client, because anyone can invent any number of tokens. The agents of many nodes are in one IPv6 /64.
func (t *turns) keyOf(req *http.Request) [sha256.Size]byte {
	if name := t.client(req); name != "" {
		return sha256.Sum256([]byte("name " + name))
	}
	if access.IsAgent(req) {
		host, _, _ := net.SplitHostPort(req.RemoteAddr)
		return sha256.Sum256([]byte("agent " + host))
	}
	return sha256.Sum256([]byte("address " + access.AddressOf(req).String()))
}

// tokenOf identifies clients by their token, whatever their user name, if the registry has no access control.
func tokenOf(req *http.Request) string {
	token, _ := access.TokenOf(req)
	return token
}

// patient ends the requests of clients that are idle or too slow.
func patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := http.NewResponseController(w)
		body := &patientBody{ReadCloser: req.Body, c: c}
		if manifestSize(req) > storage.Large {
			body.within = manifestTime
		}
		req.Body = body
		next.ServeHTTP(&patientWriter{ResponseWriter: w, c: c}, req)
		// The server reads the rest of the body, without end if there is no deadline.
		_ = c.SetReadDeadline(time.Now().Add(unread))
		// Buffers are flushed after this. An earlier deadline would interrupt that.
		_ = c.SetWriteDeadline(time.Now().Add(idle))
	})
}

type patientBody struct {
	io.ReadCloser
	c *http.ResponseController
	// waited is how long the registry has waited for the client since
	// it last counted leastSent bytes, sent the bytes since then.
	waited time.Duration
	sent   int
	// within bounds the time from the first read to the end of the body, which is until. 0: unlimited.
	within time.Duration
	until  time.Time
}

func (b *patientBody) Read(p []byte) (int, error) {
	began := time.Now()
	deadline := began.Add(idle)
	if b.within > 0 {
		if b.until.IsZero() {
			b.until = began.Add(b.within)
		}
		if deadline = b.until; !began.Before(deadline) {
			return 0, errSlow
		}
	}
	// Setting a deadline fails only in tests, whose connections have none.
	_ = b.c.SetReadDeadline(deadline)
	n, err := b.ReadCloser.Read(p)
	if err == nil && !b.fast(n, time.Since(began)) {
		err = errSlow
	}
	if err != nil {
		// The next step may take long: the content of an upload is committed.
		_ = b.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

// fast adds n bytes that took the given time, and reports whether the client sends fast enough.
func (b *patientBody) fast(n int, took time.Duration) bool {
	b.sent, b.waited = b.sent+n, b.waited+took
	if b.sent >= leastSent {
		b.sent, b.waited = 0, 0
	}
	return b.waited <= idle
}

type patientWriter struct {
	http.ResponseWriter
	c *http.ResponseController
}

func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.c.SetWriteDeadline(time.Now().Add(idle))
	return w.ResponseWriter.Write(p)
}

// Unwrap implements the interface that http.ResponseController uses.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
