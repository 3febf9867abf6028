package oci

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

// slow is a body whose reads wait. It notes whether it is closed during a read.
type slow struct {
	begun, free chan struct{}
	reading     bool
	closed      int
	overlap     bool
}

func (s *slow) Read(p []byte) (int, error) {
	s.reading = true
	close(s.begun)
	<-s.free
	s.reading = false
	return copy(p, "x"), io.EOF
}

func (s *slow) Close() error {
	s.closed++
	s.overlap = s.overlap || s.reading
	return nil
}

// A body that is closed during a read must be closed when the
// read ends, only once, and must return no bytes afterwards.
func TestARequestBodyIsNotClosedDuringARead(t *testing.T) {
	t.Parallel()
	inner := &slow{begun: make(chan struct{}), free: make(chan struct{})}
	b := &requestBody{body: inner}
	done := make(chan error)
	go func() {
		_, err := b.Read(make([]byte, 1))
		done <- err
	}()
	<-inner.begun
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	close(inner.free)
	if err := <-done; !errors.Is(err, io.EOF) {
		t.Errorf("the read under way ends with %v", err)
	}
	if inner.closed != 1 || inner.overlap {
		t.Errorf("it was closed %d times, during a read: %t", inner.closed, inner.overlap)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}
