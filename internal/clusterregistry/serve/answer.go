package serve

import (
	"encoding/json"
	"net/http"

	"github.com/distribution/distribution/v3/registry/auth"
)

// fail answers in the form of the distribution specification.
func fail(w http.ResponseWriter, status int, code, message string) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Del("Content-Length")
	answer(w, status, "application/json", map[string][]item{"errors": {{Code: code, Message: message}}})
}

func answer(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	// A client that has gone reads no error either.
	_ = json.NewEncoder(w).Encode(body)
}

// may reports whether the client may do what a route needs. If not, it has been answered.
func (r *Registry) may(w http.ResponseWriter, req *http.Request, wanted auth.Access) bool {
	if r.o.Access == nil {
		return true
	}
	if _, err := r.o.Access.Authorized(req, wanted); err == nil {
		return true
	}
	// Access puts its own answer in the place of this one.
	fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "log in to do this")
	return false
}
