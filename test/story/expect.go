package story

import (
	"fmt"
	"strings"
)

// Expectation is what a command's output has to show. The error says what was expected.
type Expectation func(output string) error

// Says expects every text, spaces counting as one.
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

// Omits expects none of the texts.
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

// Lines expects so many lines with a text.
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

// squeeze makes columns comparable with text.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }
