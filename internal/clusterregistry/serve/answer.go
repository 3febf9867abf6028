package serve

import (
	"encoding/json"
	"net/http"

	"github.com/distribution/distribution/v3/registry/auth"
)

// fail answers with an error in the format of the distribution specification.
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
	// If this fails, the client has closed the connection.
	_ = json.NewEncoder(w).Encode(body)
}

// may reports whether the client may do what a route needs. If not, it has answered the request.
func (r *Registry) may(w http.ResponseWriter, req *http.Request, wanted auth.Access) bool {
	if r.o.Access == nil {
		return true
	}
	if _, err := r.o.Access.Authorized(req, wanted); err == nil {
		return true
	}
	// access.Handler replaces this answer with its own.
	fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "log in to do this")
	return false
}
