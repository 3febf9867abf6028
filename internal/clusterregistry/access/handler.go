package access

import (
	"context"
	"net/http"
)

// note is where a Controller leaves a refusal for Handler. It belongs to one request.
type note struct{ refusal *Refusal }

type noteKey struct{}

// Handler serves distribution's app, and answers a refusal of the Controller in full. Distribution itself has only one
// answer to a refusal: 401 with a fixed text.
func Handler(app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := &note{}
		r.Body = &body{r.Body}
		app.ServeHTTP(&writer{ResponseWriter: w, note: n}, r.WithContext(context.WithValue(r.Context(), noteKey{}, n)))
	})
}

// writer replaces the app's answer to a refused request.
type writer struct {
	http.ResponseWriter
	note    *note
	refused bool
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush sends what has been written of the app's answer.
func (w *writer) Flush() {
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// WriteHeader begins the app's answer, or writes the refusal.
func (w *writer) WriteHeader(status int) {
	switch {
	case w.refused:
	case w.note.refusal != nil:
		w.refused = true
		w.note.refusal.answer(w.ResponseWriter)
	default:
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write writes the body of the app's answer, of which a refused request gets nothing.
func (w *writer) Write(body []byte) (int, error) {
	if w.note.refusal == nil {
		return w.ResponseWriter.Write(body)
	}
	w.WriteHeader(w.note.refusal.Status)
	return len(body), nil
}
