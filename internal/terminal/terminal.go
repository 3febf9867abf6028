// Package terminal writes texts that have parts from outside, such as a registry's error or an object's status,
// so that they cannot take over the terminal that they are read in.
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

// Text returns a writer that writes text as v1alpha1.Printable has it. A character may be cut between two
// writes; what is left of one at the end is not written.
func Text(to io.Writer) *Writer { return &Writer{to: to, show: v1alpha1.Printable} }

// JSON returns a writer that writes a JSON document, in which what v1alpha1.Printable would replace, and
// can only stand in strings, is escaped (\u202e): the document means the same.
func JSON(to io.Writer) *Writer { return &Writer{to: to, show: escape} }

// Writer changes the text that goes through it. It is safe for concurrent use.
type Writer struct {
	to   io.Writer
	show func(string) string

	mu   sync.Mutex
	rest []byte // the beginning of a character
}

// Unwrap returns the writer that w writes to: for who knows what is written, and for data whose bytes may not
// change.
func (w *Writer) Unwrap() io.Writer { return w.to }

// Write writes p, but for a character that is cut off at its end, which waits for the next call.
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

// escape escapes what cannot be shown, as JSON does.
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
