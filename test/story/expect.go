package story

import (
	"fmt"
	"strings"
)

// Expectation checks the output of a command. Its error says what was expected.
type Expectation func(output string) error

// Says expects the output to contain every text. Any white space counts as one space.
func Says(texts ...string) Expectation {
	return func(output string) error {
		for _, text := range texts {
			if !strings.Contains(squeeze(output), squeeze(text)) {
				return fmt.Errorf("the output does not say %q", text)
			}
		}
		return nil
	}
}

// Omits expects the output to contain none of the texts.
func Omits(texts ...string) Expectation {
	return func(output string) error {
		for _, text := range texts {
			if strings.Contains(squeeze(output), squeeze(text)) {
				return fmt.Errorf("the output says %q", text)
			}
		}
		return nil
	}
}

// Lines expects exactly n lines that contain the text.
func Lines(n int, text string) Expectation {
	return func(output string) error {
		got := 0
		for line := range strings.Lines(output) {
			if strings.Contains(squeeze(line), squeeze(text)) {
				got++
			}
		}
		if got != n {
			return fmt.Errorf("%d lines of the output say %q, not %d", got, text, n)
		}
		return nil
	}
}

// squeeze reduces all white space to single spaces, so that the columns of a table can be compared with text.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }
