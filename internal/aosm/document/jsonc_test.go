package document

import (
	"errors"
	"strings"
	"testing"
)

// TestCheckText checks that text that other programs write instead of JSON is recognised, with how to avoid it.
func TestCheckText(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, text, says string }{
		"Object":     {"JSON", ` {"a": 1}`, ""},
		"Comment":    {"JSON with a comment before it", "// x\n{}", ""},
		"Mark":       {"JSON of PowerShell", "\xef\xbb\xbf{}", ""},
		"TwoMarks":   {"two files that were joined", "\xef\xbb\xbf\xef\xbb\xbf{}", ""},
		"Empty":      {"nothing is reported elsewhere", " ", ""},
		"UTF16":      {"as PowerShell writes it", "\xff\xfe{\x00", "UTF-16"},
		"UTF16Other": {"in the other order", "\xfe\xff\x00{", "UTF-16"},
		"Colours":    {"for a terminal", "{\x1b[94m", "colour codes"},
		"Table":      {"for people", "Name    Location", `it begins with "Name    Location"`},
		"Long":       {"of which not all is quoted", strings.Repeat("x", 1000), `"xxxxxxxxxxxxxxxxxxxx";`},
	} {
		if err := CheckText([]byte(tc.text)); (err != nil) != (tc.says != "") || err != nil && (!errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %s: %v, want %q", name, tc.reason, err, tc.says)
		}
	}
}

// TestTexts checks where comments end, and that no comment begins within a text.
func TestTexts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, input, want string }{
		"URL":       {"no comment begins in a text", `{"a": "https://x /* y */"}`, "https://x /* y */"},
		"Quote":     {"nor does a quote end it that is escaped", `{"a": "\"// x"}`, `"// x`},
		"Backslash": {"unless the backslash is", `{"a": "x\\" /* y */}`, `x\`},
		"Breaks":    {"a text over lines", "{\"a\": \"x\r\n\ty\"}", "x\r\n\ty"},
		"ToTheEnd":  {"a comment may be the last", `{"a": "x"} // y`, "x"},
		"Between":   {"or be anywhere", "{/**/\"a\"/* b */:// c\n\"x\"}", "x"},
	} {
		documents, err := Parse([]byte(tc.input))
		if err != nil || len(documents) != 1 || documents[0].Member("a") == nil || documents[0].Member("a").Text != tc.want {
			t.Errorf("%s: %s: %v, %v, want %q", name, tc.reason, documents, err, tc.want)
		}
	}
	if _, err := Parse([]byte(`{"a": "x"} /* y`)); !errors.Is(err, ErrInput) {
		t.Errorf("a comment without an end: %v", err)
	}
}

// TestPositions checks that the position of an error is that in the original file, whatever was escaped before it.
func TestPositions(t *testing.T) {
	t.Parallel()
	input := "{\"a\": \"x\ny\n\", // z\n \"b\": !}"
	if _, err := Parse([]byte(input)); err == nil || !strings.Contains(err.Error(), "before byte 25") {
		t.Errorf("%v", err)
	}
}

// TestRead checks that the bound on values counts all files together.
func TestRead(t *testing.T) {
	t.Parallel()
	if data, err := Read(strings.NewReader("{}")); err != nil || string(data) != "{}" {
		t.Errorf("%q, %v", data, err)
	}
	values := MaxValues - 1 // of the files before
	if _, err := ParseNamed("a.json", []byte("[1]"), &values); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "a.json") {
		t.Errorf("more values than are taken: %v", err)
	}
}

// TestJudgements checks the states of nodes, and the origin of copies.
func TestJudgements(t *testing.T) {
	t.Parallel()
	documents, err := Parse([]byte(`{"a": {"b": 1}}`))
	if err != nil {
		t.Fatal(err)
	}
	a := documents[0].Member("a")
	b := &Node{Kind: Number, Origin: a.Member("b")}
	if a.Open(); a.State != Opened || a.Member("b").State != Unread {
		t.Errorf("an object is opened alone: %v, %v", a.State, a.Member("b").State)
	}
	if b.Close(); b.Original().State != Closed || b.Original() != a.Member("b") || a.Original() != a {
		t.Error("what is said of a copy is said of the node that it is of")
	}
	if a.Close(); a.State != Closed {
		t.Error("an object is not closed")
	}
	if a.Open(); a.State != Closed {
		t.Error("what was dealt with is to be dealt with again")
	}
	var none *Node
	none.Open()
	none.Close()
	if none.Member("x") != nil {
		t.Error("nothing has a member")
	}
}
