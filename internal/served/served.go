// Package served prevents a kind that an API server does not serve from being mistaken for an object that does not exist.
//
// An API server answers 404 with a Status if an object does not exist. It also answers 404, without a Status, while it does
// not know the kind, because the CustomResourceDefinition was just created, or was deleted and is being created again. A
// proxy may answer the same. client-go reports all of them as NotFound.
//
// Invariant: only a Status means that an object does not exist (I2).
//
// Decision: the answer becomes a 503 in the transport, below all clients, so that code that checks for NotFound cannot get
// this wrong. Rejected: to check the error wherever NotFound is checked, because the next such place would be forgotten.
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

// maxStatus is the maximum number of bytes that are read of an answer to find a Status. A longer answer counts as a Status.
const maxStatus = 64 << 10

// Wrap returns a transport that answers a request for objects with a 503 with a Status where the API
// server answers with a 404 without one. Discovery requests, which ask which kinds exist, are not changed.
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

// ofObjects reports whether a path is that of objects, rather than of a list of kinds: /api/VERSION
// or /apis/GROUP/VERSION, possibly below the path of a gateway, is followed by something.
var ofObjects = regexp.MustCompile(`(^|/)(api|apis/[^/]+)/v[0-9][a-z0-9]*/[^/]`).MatchString

// hasStatus reports whether an answer is a Status, and leaves its body readable. An answer in
// another of Kubernetes' own formats counts as a Status, because only Kubernetes writes these.
func hasStatus(resp *http.Response) (bool, error) {
	format, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return false, nil //nolint:nilerr // the answer does not say its format
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

// unavailable returns the answer to use in place of resp.
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
	header := http.Header{"Content-Type": {"application/json"}} // without Retry-After, which clients obey at a 503
	return &http.Response{
		Status: "503 " + http.StatusText(http.StatusServiceUnavailable), StatusCode: http.StatusServiceUnavailable,
		Proto: resp.Proto, ProtoMajor: resp.ProtoMajor, ProtoMinor: resp.ProtoMinor,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}, nil
}
