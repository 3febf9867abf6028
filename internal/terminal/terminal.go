// Package terminal writes texts with parts from outside, such as a registry's error or
// an object's status, so that these parts cannot control the terminal that shows them.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Text returns a writer that writes text as v1alpha1.Printable returns it. A character may
// be split over two writes; an incomplete character at the end of the text is not written.
func Text(to io.Writer) *Writer { return &Writer{to: to, show: v1alpha1.Printable} }

// JSON returns a writer for a JSON document. Characters that v1alpha1.Printable would replace are
// escaped, such as \u202e: in JSON they can occur only in strings, so the document keeps its meaning.
func JSON(to io.Writer) *Writer { return &Writer{to: to, show: escape} }

// Writer writes text with unsafe characters changed. It is safe for concurrent use.
type Writer struct {
	to   io.Writer
	show func(string) string

	mu   sync.Mutex
	rest []byte // the beginning of an incomplete character
}

// Unwrap returns the underlying writer, for callers that write known text, or data whose bytes must not change.
func (w *Writer) Unwrap() io.Writer { return w.to }

// Write writes p, except for an incomplete character at its end, which is kept for the next call.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := append(w.rest, p...)
	cut := len(text)
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if start := len(text) - back; utf8.RuneStart(text[start]) {
			if !utf8.FullRune(text[start:]) {
				cut = start
			}
			break
		}
	}
	w.rest = bytes.Clone(text[cut:])
	if _, err := io.WriteString(w.to, w.show(string(text[:cut]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// escape escapes unsafe characters as JSON does.
func escape(document string) string {
	var b strings.Builder
	for _, r := range document {
		if v1alpha1.Printable(string(r)) == string(r) || r == '\r' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
