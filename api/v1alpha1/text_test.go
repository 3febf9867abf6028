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

func TestPrintable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, text, want, line string }{
		"Plain":    {"letters of any script, and emoji", "café ليبيا 😀", "café ليبيا 😀", "café ليبيا 😀"},
		"Lines":    {"a message can have several, a cell cannot", "a\n\tb", "a\n\tb", "a  b"},
		"Return":   {"what follows would be written over what is there", "refused\rok     ", "refused?ok     ", "refused ok     "},
		"Color":    {"an escape sequence", "\x1b[31mred", "?[31mred", "?[31mred"},
		"Title":    {"one that ends with a bell", "\x1b]0;t\a", "?]0;t?", "?]0;t?"},
		"C1":       {"the same in one character", "\u009b31mred", "?31mred", "?31mred"},
		"Delete":   {"it is a control too", "a\x7fb\bc", "a?b?c", "a?b?c"},
		"Override": {"what follows would be read from right to left", "upf\u202e0.1", "upf?0.1", "upf?0.1"},
		"Isolates": {"each of them", "\u2066a\u2067b\u2068c\u2069", "?a?b?c?", "?a?b?c?"},
		"Embeds":   {"each of them", "\u202aa\u202bb\u202cc\u202d", "?a?b?c?", "?a?b?c?"},
		"Marks":    {"each of them", "\u200ea\u200fb\u061c", "?a?b?", "?a?b?"},
		"Separate": {"what some take for line ends", "a\u2028b\u2029c\u0085d", "a?b?c?d", "a b c d"},
		"Runs":     {"one mark for many", "a\x00\x01\x1b\u202e\xffb", "a?b", "a?b"},
		"Invalid":  {"what is not UTF-8", "a\xff\xfeb", "a?b", "a?b"},
	} {
		if got := Printable(tc.text); got != tc.want {
			t.Errorf("%s: %s: %q, want %q", name, tc.reason, got, tc.want)
		}
		if got := Line(tc.text); got != tc.line {
			t.Errorf("%s: %s: on a line %q, want %q", name, tc.reason, got, tc.line)
		}
		if got := Clip(tc.text, 100); got != tc.want {
			t.Errorf("%s: %s: clipped %q, want %q", name, tc.reason, got, tc.want)
		}
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

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 charts", 1: "1 chart", 2: "2 charts"} {
		if got := Count(n, "chart", "charts"); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
