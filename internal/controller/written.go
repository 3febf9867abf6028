package controller

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// largeWrite is how many bytes a namespace's usual write has from which on its objects are large.
	largeWrite = 64 << 10
	// smallWrite is the size below which a namespace is dropped, so that only namespaces with large objects take memory.
	smallWrite = 8 << 10
	// writesCounted is roughly how many of the last writes the usual size is averaged over.
	writesCounted = 8
	// usualHalves is the time without a write in which the usual size halves.
	usualHalves = 10 * time.Second
)

// written knows in which namespaces the manager writes large objects. A write of 1 MiB costs the API server a
// hundred times as much as one of 2 KiB, and many at once slow it down for everybody. It is safe for concurrent use.
type written struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	usual map[string]usualWrite // by namespace
	swept time.Time             // when namespaces without recent writes were last dropped
}

// usualWrite is how many bytes a namespace's usual write has, as of a time.
type usualWrite struct {
	bytes int64
	at    time.Time
}

func newWritten(c clock.PassiveClock) *written {
	return &written{clock: c, usual: map[string]usualWrite{}}
}

// large reports whether the objects that were recently written in a namespace are usually large.
func (w *written) large(namespace string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now(namespace).bytes >= largeWrite
}

// now returns a namespace's usual write, reduced by the time since the last write:
// passes that write nothing say nothing about the objects, and would otherwise be
// held back for ever. It drops a namespace that has become small. w.mu is held.
func (w *written) now(namespace string) usualWrite {
	is, known := w.usual[namespace]
	if !known {
		return usualWrite{at: w.clock.Now()}
	}
	halves := max(0, w.clock.Since(is.at)/usualHalves)
	is.bytes, is.at = is.bytes>>halves, is.at.Add(halves*usualHalves)
	if is.bytes < smallWrite {
		delete(w.usual, namespace)
	} else {
		w.usual[namespace] = is
	}
	return is
}

// Wrap returns a transport that counts the bytes of each write: those of the request and those of the answer.
func (w *written) Wrap(base http.RoundTripper) http.RoundTripper {
	return counting(func(req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		if namespace := namespaceOf(req.URL.Path); err == nil && req.Method != http.MethodGet && namespace != "" {
			resp.Body = &counted{ReadCloser: resp.Body, bytes: max(0, req.ContentLength), done: func(bytes int64) { w.count(namespace, bytes) }}
		}
		return resp, err
	})
}

func (w *written) count(namespace string, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clock.Since(w.swept) >= usualHalves {
		w.swept = w.clock.Now()
		for other := range w.usual {
			w.now(other)
		}
	}
	was := w.now(namespace).bytes
	is := usualWrite{bytes: was + (bytes-was)/writesCounted, at: w.clock.Now()}
	if is.bytes < smallWrite {
		delete(w.usual, namespace)
		return
	}
	w.usual[namespace] = is
}

// namespaceOf returns the namespace in the path of a request to the API server; empty for none.
func namespaceOf(path string) string {
	_, after, _ := strings.Cut(path, "/namespaces/")
	namespace, _, _ := strings.Cut(after, "/")
	return namespace
}

type counting func(*http.Request) (*http.Response, error)

func (f counting) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// counted is the body of an answer that reports its bytes when it is closed.
type counted struct {
	io.ReadCloser
	bytes int64
	done  func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.bytes += int64(n)
	return n, err
}

func (c *counted) Close() error {
	c.done(c.bytes)
	return c.ReadCloser.Close()
}
