package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/decode"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

const (
	// maxErrorBytes bounds an error answer. Registries send a few hundred bytes.
	maxErrorBytes = 8 << 10
	// maxErrors bounds the errors in one answer. Registries send one or two.
	maxErrors = 16
	// codeDisallowed is Azure Container Registry's code for an operation that a lock
	// forbids. Its status is 405, the status of a registry that supports no deletion.
	codeDisallowed = "REGISTRY_DISALLOWED_OPERATION"
)

// Answered returns an error for an answer to r whose status is not 2xx.
func (c *Client) Answered(resp *http.Response, r Request) error {
	cause := &errcode.ErrorResponse{Method: resp.Request.Method, URL: cleanURL(resp.Request.URL), StatusCode: resp.StatusCode}
	var body struct {
		Errors errorList `json:"errors"`
	}
	// If the body is not an error document, the error has the status alone.
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxErrorBytes)).Decode(&body); err == nil {
		cause.Errors = body.Errors.list
	}
	f := c.Fail(Classify(cause), cause)
	if errors.Is(f, failure.ErrNotFound) && !r.About.absent(r.Repository.Repository, cause) {
		f = c.Fail(failure.ErrUnavailable, fmt.Errorf("%w: %w", failure.ErrUnproven, cause))
	}
	f.After = retryAfter(resp.Header.Get("Retry-After"))
	return f
}

// errorList has the errors of an error answer.
type errorList struct{ list errcode.Errors }

// UnmarshalJSON keeps the first maxErrors errors.
func (l *errorList) UnmarshalJSON(data []byte) error {
	if l.list = nil; string(data) == "null" {
		return nil
	}
	type said struct {
		Code    string          `json:"code"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	return decode.EachOf(data, func(e said) error {
		if len(l.list) == maxErrors {
			return nil
		}
		one := errcode.Error{Code: e.Code, Message: e.Message}
		if detail := string(e.Detail); detail != "" && detail != "null" {
			one.Detail = v1alpha1.Clip(detail, failure.MaxText)
		}
		l.list = append(l.list, one)
		return nil
	})
}

// fewErrors returns the first maxErrors errors, the details of each as a
// bounded text, because an error may be kept in memory for a long time.
func fewErrors(all errcode.Errors) errcode.Errors {
	few := slices.Clone(all[:min(len(all), maxErrors)])
	for i := range few {
		if few[i].Detail != nil {
			few[i].Detail = v1alpha1.Clip(fmt.Sprint(few[i].Detail), failure.MaxText)
		}
	}
	return few
}

// SendFailed returns an error for a request that got no answer, or whose login failed.
func (c *Client) SendFailed(err error) error {
	var answer *errcode.ErrorResponse
	var sending *url.Error
	switch {
	case errors.Is(err, ErrAddress):
		return c.Fail(ErrAddress, err)
	case errors.As(err, &answer): // from the token server
		few := *answer // a copy, because requests that wait for the same token share the answer
		few.Errors = fewErrors(answer.Errors)
		class := Classify(&few)
		if !errors.Is(class, failure.ErrUnavailable) {
			class = failure.ErrDenied
		}
		return c.Fail(class, err)
	case errors.As(err, &sending), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return c.Fail(failure.ErrUnavailable, err)
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return c.Fail(failure.ErrDenied, fmt.Errorf("the registry asks for a login, and none is known: %w", err))
	}
	// The registry and the token server answered, but the login failed: no token in the answer, a
	// realm that the auth client does not trust, or a challenge that the credential cannot meet.
	return c.Fail(failure.ErrDenied, err)
}

// Classify maps a status to a sentinel. Spec: opencontainers/distribution-spec, "Error Codes" and
// "Deleting tags", which allows 400 or 405 for a deletion that the registry does not support.
func Classify(e *errcode.ErrorResponse) error {
	code := func(codes ...string) bool {
		return slices.ContainsFunc(e.Errors, func(ee errcode.Error) bool { return slices.Contains(codes, ee.Code) })
	}
	deleting := e.Method == http.MethodDelete
	switch s := e.StatusCode; {
	case code(errcode.ErrorCodeManifestBlobUnknown, errcode.ErrorCodeBlobUnknown) && s < 500:
		return failure.ErrNotFound // a push whose layers or children are missing
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return failure.ErrDenied
	case s == http.StatusNotFound:
		return failure.ErrNotFound
	case code(codeDisallowed) && s < 500, deleting && protects(e):
		return failure.ErrProtected
	case s == http.StatusMethodNotAllowed, deleting && s == http.StatusNotImplemented:
		return failure.ErrUnsupported
	// Registries that cannot delete tags expect a digest, and answer DIGEST_INVALID or TAG_INVALID for a tag.
	case deleting && s == http.StatusBadRequest && (len(e.Errors) == 0 || code(errcode.ErrorCodeUnsupported, errcode.ErrorCodeDigestInvalid, "TAG_INVALID")):
		return failure.ErrUnsupported
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return failure.ErrUnavailable
	case s < 400: // a redirect that was not followed
		return failure.ErrUnavailable
	}
	return failure.ErrDenied
}

// protects reports whether an answer to a DELETE refuses this object only: another manifest or a tag
// references it (zot, Google), it is immutable or locked (Harbor), or the state of the object forbids it.
func protects(e *errcode.ErrorResponse) bool {
	switch e.StatusCode {
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusLocked:
		return true
	case http.StatusBadRequest, http.StatusMethodNotAllowed:
		return slices.ContainsFunc(e.Errors, func(ee errcode.Error) bool {
			return strings.Contains(ee.Code, "DANGLING") || strings.Contains(ee.Code, "REFERENCED") || (ee.Code == errcode.ErrorCodeDenied && e.StatusCode == http.StatusMethodNotAllowed)
		})
	}
	return false
}

// Fail returns an error with a class, a cause, and a text without secrets.
func (c *Client) Fail(class, cause error) *failure.Error {
	return &failure.Error{Class: class, Cause: cause, Text: class.Error() + ": " + c.Scrub(c.ownText(cause))}
}

// ownText returns the text of an error. If the answer came from a host other than the registry,
// such as after a redirect or from a token server, the text has only the status: a registry could
// redirect nfo to an internal service, and the answer of that service must not show in a condition.
func (c *Client) ownText(cause error) string {
	var answer *errcode.ErrorResponse
	if errors.As(cause, &answer) && !c.isOwn(answer.URL) {
		cause = &errcode.ErrorResponse{Method: answer.Method, URL: answer.URL, StatusCode: answer.StatusCode}
	}
	return cause.Error()
}

// isOwn reports whether a URL is on the registry's own scheme and host.
func (c *Client) isOwn(u *url.URL) bool {
	return u != nil && (u.Scheme == "http") == c.Location.PlainHTTP && strings.EqualFold(u.Host, oras.Reference{Registry: c.Location.Host}.Host())
}

func cleanURL(u *url.URL) *url.URL {
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
}

// IsHTML reports whether an answer is a web page.
func IsHTML(h http.Header) bool {
	return strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), "text/html")
}
