package storage_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// patch sends content to an upload, and returns the status and the location of the next request.
func (s site) patch(to string, body io.Reader) (status int, location string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPatch, to, body)
	if err != nil {
		s.t.Error(err)
		return 0, ""
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Error(err)
		return 0, ""
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode, res.Header.Get("Location")
}

// opened returns how many descriptors of upload data this process, which is the registry, has open.
func opened(t *testing.T) (n int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil && strings.Contains(to, "/_uploads/") && strings.HasSuffix(to, "/data") {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.After(10 * time.Second)
	for !is() {
		select {
		case <-time.After(time.Millisecond):
		case <-end:
			t.Fatal(what)
		}
	}
}

// writer is a request that writes to an upload at the same time as another one.
type writer struct {
	body *io.PipeWriter
	done chan int
}

// begin makes the registry open the upload for a request that has sent nothing yet.
func (s site) begin(to string) writer {
	s.t.Helper()
	before := opened(s.t)
	r, w := io.Pipe()
	o := writer{body: w, done: make(chan int, 1)}
	go func() {
		status, _ := s.patch(to, r)
		o.done <- status
	}()
	eventually(s.t, "the registry does not open the upload", func() bool { return opened(s.t) > before })
	return o
}

// end sends a byte and ends the request.
func (o writer) end(t *testing.T) {
	t.Helper()
	_, _ = o.body.Write([]byte("X"))
	_ = o.body.Close()
	if status := <-o.done; status < http.StatusBadRequest {
		t.Errorf("the other writer is answered with %d", status)
	}
}

// Two requests write to one upload. In every order, no wrong content must be stored under the digest that all tenants
// share, and acknowledged content must stay.
func TestR2TwoWritersOfOneUpload(t *testing.T) {
	content := bytes.Repeat([]byte("layer "), 20_000)
	d := digest.FromBytes(content)
	for _, tt := range []struct {
		reason string
		push   func(t *testing.T, s site, to string) (acknowledged bool)
	}{
		{"the other has written a byte before", func(t *testing.T, s site, to string) bool {
			o := s.begin(to)
			_, _ = o.body.Write([]byte("X"))
			eventually(t, "the byte does not arrive", func() bool { return s.size() == 1 })
			status, next := s.patch(to, bytes.NewReader(content))
			_ = o.body.Close()
			<-o.done
			if status != http.StatusAccepted {
				return false
			}
			status, _ = s.do(http.MethodPut, next+"&digest="+d.String(), nil)
			return status == http.StatusCreated
		}},
		{"the other writes after the content has come", func(t *testing.T, s site, to string) bool {
			o := s.begin(to)
			_, next := s.patch(to, bytes.NewReader(content))
			o.end(t)
			s.want(http.StatusCreated, http.MethodPut, next+"&digest="+d.String(), nil)
			return true
		}},
		{"the other has begun at the same byte, and writes after the end", func(t *testing.T, s site, to string) bool {
			o := s.begin(to)
			s.want(http.StatusCreated, http.MethodPut, to+"&digest="+d.String(), content)
			o.end(t)
			return true
		}},
		{"the other has begun behind the last byte, and writes after the end", func(t *testing.T, s site, to string) bool {
			_, next := s.patch(to, bytes.NewReader(content))
			o := s.begin(next)
			s.want(http.StatusCreated, http.MethodPut, next+"&digest="+d.String(), nil)
			o.end(t)
			return true
		}},
		{"the other writes when the upload is to end", func(t *testing.T, s site, to string) bool {
			_, next := s.patch(to, bytes.NewReader(content))
			o := s.begin(next)
			_, _ = o.body.Write(bytes.Repeat([]byte("X"), 10_000))
			eventually(t, "the byte does not arrive", func() bool { return s.size() > int64(len(content)) })
			status, _ := s.do(http.MethodPut, next+"&digest="+d.String(), nil)
			_ = o.body.Close()
			<-o.done
			return status == http.StatusCreated
		}},
		{"the other cancels while content comes", func(t *testing.T, s site, to string) bool {
			o := s.begin(to)
			_, _ = o.body.Write(content)
			eventually(t, "the content does not arrive", func() bool { return s.size() == int64(len(content)) })
			s.do(http.MethodDelete, to, nil)
			_ = o.body.Close()
			if status := <-o.done; status != http.StatusAccepted {
				t.Errorf("the writer is answered with %d", status)
			}
			return false
		}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			s := newSite(t)
			to := s.want(http.StatusAccepted, http.MethodPost, "a/blobs/uploads/", nil)
			acknowledged := tt.push(t, s, to)
			if acknowledged {
				if got := s.want(http.StatusOK, http.MethodGet, "a/blobs/"+d.String(), nil); digest.FromString(got) != d {
					t.Error("what was acknowledged has other content")
				}
			}
			if wrong, err := os.ReadFile(s.file(layout.BlobPath(d))); err == nil && digest.FromBytes(wrong) != d {
				t.Errorf("the blob of all tenants has %d bytes of other content", len(wrong))
			}
			s.send("b", content, d)
			if got := s.want(http.StatusOK, http.MethodGet, "b/blobs/"+d.String(), nil); digest.FromString(got) != d {
				t.Error("another tenant's push has other content")
			}
		})
	}
}

// size returns the size in bytes of the only upload to repository a, or -1.
func (s site) size() int64 {
	s.t.Helper()
	names, err := filepath.Glob(s.file(layout.UploadsOf("a") + "/*/data"))
	if err != nil || len(names) != 1 {
		return -1
	}
	info, err := os.Stat(names[0])
	if err != nil {
		return -1
	}
	return info.Size()
}

func TestAnUploadThatIsCancelledLeavesNothing(t *testing.T) {
	s := newSite(t)
	to := s.want(http.StatusAccepted, http.MethodPost, "r/blobs/uploads/", nil)
	s.want(http.StatusNoContent, http.MethodDelete, to, nil)
	if left, err := filepath.Glob(s.file(layout.UploadsOf("r") + "/*")); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

// Distribution hashes the received bytes and not the bytes on the
// disk. The next push of the digest must replace wrong content.
func TestAnUploadThatTheDiskHasChanged(t *testing.T) {
	s := newSite(t)
	content := bytes.Repeat([]byte("layer "), 20_000)
	d := digest.FromBytes(content)
	to := s.want(http.StatusAccepted, http.MethodPost, "a/blobs/uploads/", nil)
	_, next := s.patch(to, bytes.NewReader(content))
	names, err := filepath.Glob(s.file(layout.UploadsOf("a") + "/*/data"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if err := flip(names[0]); err != nil {
		t.Fatal(err)
	}
	s.want(http.StatusCreated, http.MethodPut, next+"&digest="+d.String(), nil)
	s.send("b", content, d)
	if got := s.want(http.StatusOK, http.MethodGet, "b/blobs/"+d.String(), nil); digest.FromString(got) != d {
		t.Error("another tenant's push has other content")
	}
}
