package v1alpha1

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, text string
		most         int
		want         string
	}{
		"Short":         {"it fits", "café", 10, "café"},
		"Exact":         {"it just fits: é has 2 bytes", "café", 5, "café"},
		"Long":          {"the end says that it was cut", "abcdefgh", 6, "abc..."},
		"MiddleOfTwo":   {"é would be cut in half", "abcé-----", 7, "abc..."},
		"AfterTwo":      {"é just fits", "abcé-----", 8, "abcé..."},
		"MiddleOfFour":  {"an emoji would be cut after 3 of its 4 bytes", "a😀-----", 7, "a..."},
		"NothingFits":   {"the first character is longer than the room", "😀😀", 6, "..."},
		"Three":         {"only the mark fits", "abcd", 3, "..."},
		"Two":           {"the mark does not fit", "abcd", 2, "ab"},
		"TwoOfThree":    {"nor does the character", "€€", 2, ""},
		"Zero":          {"no room", "abcd", 0, ""},
		"Negative":      {"less than no room", "abcd", -1, ""},
		"Empty":         {"nothing to cut", "", 0, ""},
		"Invalid":       {"the API server stores valid UTF-8 only", "a\xff\xfeb", 10, "a?b"},
		"InvalidAndCut": {"the same of a long one", "\xffabcdefgh", 6, "?ab..."},
		"CutByOthers":   {"half a character at the end", "caf\xc3", 10, "caf?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Clip(tc.text, tc.most); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestClipIsValidAtEveryLength(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a é € 😀 \xff", 5)
	for most := -2; most <= len(text)+2; most++ {
		got := Clip(text, most)
		if len(got) > max(most, 0) || !utf8.ValidString(got) {
			t.Errorf("in %d bytes it is %q, of %d bytes", most, got, len(got))
		}
		if most >= 3 && most < len(text) && !strings.HasSuffix(got, "...") {
			t.Errorf("in %d bytes it is %q, and does not say that it was cut", most, got)
		}
	}
}

func TestFirstOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		names  []string
		n      int
		want   string
	}{
		"None":  {"nothing to name", nil, 10, ""},
		"One":   {"no comma", []string{"a"}, 2, "a"},
		"Exact": {"all are named", []string{"a", "b"}, 2, "a, b"},
		"More":  {"the rest is counted", []string{"a", "b", "c", "d"}, 2, "a, b and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := FirstOf(tc.names, tc.n); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}
