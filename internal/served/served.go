// Package served keeps a kind that an API server does not serve from being taken for an object that does not exist.
//
// An API server answers 404 with a Status if an object does not exist. It also answers 404, without a Status, while it does
// not know the kind: its CustomResourceDefinition was created a moment ago, or deleted and is being created anew. A proxy may
// do so, too. client-go calls all of them NotFound.
//
// Invariant: only a Status says that an object does not exist (I2).
//
// Decision: the answer becomes 503 in the transport, below all clients, so that no code that asks for NotFound can get this
// wrong. Rejected: a test of the error at each of these places, because the next one would be forgotten.
package served

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxStatus is the most that is read of an answer to find a Status, in bytes. A longer one is believed.
const maxStatus = 64 << 10

// Wrap returns a transport that answers 503 with a Status in place of a 404 without one, if a request is for objects. Requests
// that ask which kinds there are pass.
func Wrap(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusNotFound || !ofObjects(req.URL.Path) {
			return resp, err
		}
		if said, err := hasStatus(resp); said || err != nil {
			return resp, err
		}
		return unavailable(req, resp)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// ofObjects is a path of objects, and not of a list of kinds: something follows /api/VERSION or /apis/GROUP/VERSION, which may
// be below the path of a gateway.
var ofObjects = regexp.MustCompile(`(^|/)(api|apis/[^/]+)/v[0-9][a-z0-9]*/[^/]`).MatchString

// hasStatus reports whether an answer is a Status, and leaves it to be read again. What is in another format of Kubernetes'
// own is one: nobody else writes these.
func hasStatus(resp *http.Response) (bool, error) {
	format, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return false, nil //nolint:nilerr // nobody says what it is
	case format == "application/vnd.kubernetes.protobuf", format == "application/cbor":
		return true, nil
	case format != "application/json":
		return false, nil
	}
	begin, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		_ = resp.Body.Close()
		return false, fmt.Errorf("reading an answer of the API server: %w", err)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begin), resp.Body), resp.Body}
	var is metav1.TypeMeta
	return len(begin) == maxStatus || json.Unmarshal(begin, &is) == nil && is.Kind == "Status", nil
}

// unavailable is the answer in place of resp.
func unavailable(req *http.Request, resp *http.Response) (*http.Response, error) {
	if err := resp.Body.Close(); err != nil {
		return nil, fmt.Errorf("closing an answer of the API server: %w", err)
	}
	body, err := json.Marshal(&metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable,
		Message: fmt.Sprintf("the API server does not serve %s now: if there is a CustomResourceDefinition for it, it is missing or was created a moment ago, or something in between answers", req.URL.Path),
	})
	if err != nil {
		return nil, fmt.Errorf("writing a Status: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}} // not Retry-After, which clients obey at a 503
	return &http.Response{
		Status: "503 " + http.StatusText(http.StatusServiceUnavailable), StatusCode: http.StatusServiceUnavailable,
		Proto: resp.Proto, ProtoMajor: resp.ProtoMajor, ProtoMinor: resp.ProtoMinor,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}, nil
}
