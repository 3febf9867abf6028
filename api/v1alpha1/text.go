package v1alpha1

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Clip returns text in at most that many bytes of valid UTF-8, because the API server bounds messages,
// notes and reasons. A longer text is cut between two characters and ends in "..."; with fewer than 3
// bytes it is only cut. Each run of invalid bytes becomes a question mark.
func Clip(text string, most int) string {
	text = strings.ToValidUTF8(text, "?")
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
