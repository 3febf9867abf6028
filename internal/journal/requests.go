package journal

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// codes are those of answers that are counted each.
var codes = []int{
	http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent, http.StatusPartialContent, http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect,
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusRequestedRangeNotSatisfiable,
	http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage,
}

// codeOf is a code of an answer as it is counted: a registry can answer any.
func codeOf(code int) string {
	if slices.Contains(codes, code) {
		return strconv.Itoa(code)
	}
	if code < 100 || code > 599 {
		return "other"
	}
	return strconv.Itoa(code/100) + "xx"
}

// methodOf is a method as it is counted. The operator sends no others.
func methodOf(method string) string {
	switch method {
	case "":
		return http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}

// Requests is a transport that counts the requests to a store's registry, or for a store without a name those to
// others.
func (j *Journal) Requests(store types.NamespacedName, next http.RoundTripper) http.RoundTripper {
	if j == nil {
		return next
	}
	return counting{j, store, next}
}

type counting struct {
	journal *Journal
	store   types.NamespacedName
	next    http.RoundTripper
}

// RoundTrip sends a request and counts the answer. No text of either is kept.
func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := c.next.RoundTrip(req)
	code := "error"
	if err == nil {
		code = codeOf(resp.StatusCode)
	}
	c.journal.count(c.journal.metrics.requests, c.store, code)
	c.journal.metrics.requestSeconds.WithLabelValues(methodOf(req.Method)).Observe(time.Since(began).Seconds())
	return resp, err
}
