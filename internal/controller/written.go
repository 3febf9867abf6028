package controller

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

const (
	// largeWrite is how many bytes a namespace's writes move each, usually, from which on its objects are large.
	largeWrite = 64 << 10
	// smallWrite is what is forgotten, so that only namespaces with large objects take memory.
	smallWrite = 8 << 10
	// writesCounted is over about how many writes the usual is taken.
	writesCounted = 8
)

// written knows in which namespaces the objects that the manager writes are large: a write of 1 MiB costs the API server
// a hundred times what one of 2 KiB costs, and many at once make it slow for everybody. It is safe for concurrent use.
type written struct {
	mu    sync.Mutex
	usual map[string]int64 // bytes, by namespace
}

func newWritten() *written { return &written{usual: map[string]int64{}} }

// large is whether a namespace's objects usually are, of late.
func (w *written) large(namespace string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.usual[namespace] >= largeWrite
}

// Wrap returns a transport that counts what is written: the request's bytes, and those of the object in the answer.
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
	usual := w.usual[namespace]
	if usual += (bytes - usual) / writesCounted; usual < smallWrite {
		delete(w.usual, namespace)
		return
	}
	w.usual[namespace] = usual
}

// namespaceOf is the namespace in the path of a request to the API server; empty for none.
func namespaceOf(path string) string {
	_, after, _ := strings.Cut(path, "/namespaces/")
	namespace, _, _ := strings.Cut(after, "/")
	return namespace
}

type counting func(*http.Request) (*http.Response, error)

func (f counting) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// counted is an answer's body whose bytes are told when it is closed.
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
