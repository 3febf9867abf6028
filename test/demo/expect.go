package main

import (
	"fmt"
	"strings"
)

// expectation is what a command's output has to show. The error says what was expected.
type expectation func(output string) error

// says expects every text, spaces counting as one.
func says(texts ...string) expectation {
	return func(output string) error {
		for _, text := range texts {
			if !strings.Contains(squeeze(output), squeeze(text)) {
				return fmt.Errorf("the output does not say %q", text)
			}
		}
		return nil
	}
}

// omits expects none of the texts.
func omits(texts ...string) expectation {
	return func(output string) error {
		for _, text := range texts {
			if strings.Contains(squeeze(output), squeeze(text)) {
				return fmt.Errorf("the output says %q", text)
			}
		}
		return nil
	}
}

// lines expects so many lines with a text.
func lines(n int, text string) expectation {
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
