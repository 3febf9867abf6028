package v1alpha1

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxMessage is the API's bound on a condition's message, in bytes.
const MaxMessage = 32768

// unprintable replaces what may not be shown.
const unprintable = '?'

// Printable returns text as valid UTF-8 in which nothing moves a terminal's cursor, changes its state or
// reorders what stands around it. Each run of invalid bytes, of control characters (C0, which escape sequences
// begin with, DEL and C1), of bidirectional controls and of line and paragraph separators becomes a question
// mark. Line feeds and tabs stay.
func Printable(text string) string {
	if !strings.ContainsFunc(text, isUnprintable) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	replaced := false
	for _, r := range text { // an invalid byte is a utf8.RuneError
		if !isUnprintable(r) {
			b.WriteRune(r)
		} else if !replaced {
			b.WriteRune(unprintable)
		}
		replaced = isUnprintable(r)
	}
	return b.String()
}

// Line returns text as Printable does, on one line: each white-space character becomes a space. It is for cells
// of tables, list items and quotations, which a text from outside could otherwise add to.
func Line(text string) string {
	return Printable(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, text))
}

// Count returns a number with what it counts, in the singular or plural: 1 chart, 2 charts.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// isUnprintable reports whether a character may not be shown. utf8.RuneError stands for an invalid byte; who
// writes it as a character loses it.
func isUnprintable(r rune) bool {
	switch r {
	case '\n', '\t':
		return false
	case utf8.RuneError:
		return true
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// Clip returns text as Printable does, in at most that many bytes, because the API server bounds messages,
// notes and reasons. A longer text is cut between two characters and ends in "..."; with fewer than 3
// bytes it is only cut.
func Clip(text string, most int) string {
	text = Printable(text)
	if len(text) <= most {
		return text
	}
	mark := "..."
	if most < len(mark) {
		mark = ""
	}
	end := max(most, 0) - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// FirstOf enumerates names, at most n of them, and says how many more there are: "a, b and 3 more".
// Without names it is empty.
func FirstOf(names []string, n int) string {
	if more := len(names) - n; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), more)
	}
	return strings.Join(names, ", ")
}

// Bytes writes a number of bytes for people, in binary units: 1.5 GiB.
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[i:i+1] + "iB"
}
