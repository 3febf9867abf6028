package journal

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// codes are the status codes that are counted one by one.
var codes = []int{
	http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent, http.StatusPartialContent, http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect,
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusRequestedRangeNotSatisfiable,
	http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage,
}

// codeOf returns the label of a status code. Unknown codes are counted by class, because a registry can answer with any.
func codeOf(code int) string {
	if slices.Contains(codes, code) {
		return strconv.Itoa(code)
	}
	if code < 100 || code > 599 {
		return "other"
	}
	return strconv.Itoa(code/100) + "xx"
}

// methodOf returns the label of a method. The operator sends no other methods.
func methodOf(method string) string {
	switch method {
	case "":
		return http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}

// Requests returns a transport that counts the requests to a store's registry.
// An empty name of a store stands for registries that are not of a store.
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

// RoundTrip sends a request and counts the answer. It keeps no text of either.
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
