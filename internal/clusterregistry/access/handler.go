package access

import (
	"context"
	"net/http"
)

// note is where a Controller stores the refusal of one request for Handler.
type note struct{ refusal *Refusal }

type noteKey struct{}

// Handler serves distribution's app, and writes the Controller's refusals as
// answers. Distribution itself answers every refusal with 401 and a fixed text.
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

// Unwrap implements the interface that http.ResponseController uses.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush flushes what the app has written.
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

// Write writes the body of the app's answer, and discards it for a refused request.
func (w *writer) Write(body []byte) (int, error) {
	if w.note.refusal == nil {
		return w.ResponseWriter.Write(body)
	}
	w.WriteHeader(w.note.refusal.Status)
	return len(body), nil
}
