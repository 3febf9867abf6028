package document

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestPlaces checks that each value is found by its name in any case, and knows its path.
func TestPlaces(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 2 * manyMembers {
		many = append(many, fmt.Sprintf(`"Member%d": %d`, i, i))
	}
	for name, tc := range map[string]struct {
		reason, input string
		at            []string // members by name, items as "0"
		path, text    string
	}{
		"Member":   {"a plain name", `{"a": {"b": "x"}}`, []string{"a", "b"}, "$.a.b", "x"},
		"Case":     {"names have no case", `{"Member": 1}`, []string{"mEMBER"}, "$.Member", "1"},
		"Item":     {"an item has a number", `[1, [2, true]]`, []string{"1", "1"}, "$[1][1]", "true"},
		"Quoted":   {"a name that is not a word is quoted", `{"b-c": "x"}`, []string{"b-c"}, `$["b-c"]`, "x"},
		"Many":     {"a large object is searched by an index", "{" + strings.Join(many, ", ") + "}", []string{"member13"}, "$.Member13", "13"},
		"Long":     {"a path quotes a long name as messages do", `{"` + strings.Repeat("a", 1<<20) + `": "x"}`, []string{strings.Repeat("a", 1<<20)}, `$["` + strings.Repeat("a", 197) + `..."]`, "x"},
		"Comments": {"ARM allows comments and line breaks in texts", "{ // one\n \"a\": \"x\ny\" /* two */ }", []string{"a"}, "$.a", "x\ny"},
		"Mark":     {"PowerShell writes a byte order mark", "\xef\xbb\xbf{\"a\": \"x\"}", []string{"a"}, "$.a", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			documents, err := Parse([]byte(tc.input))
			if err != nil || len(documents) != 1 {
				t.Fatalf("%s: %d documents, error %v", tc.reason, len(documents), err)
			}
			n := documents[0]
			for _, step := range tc.at {
				if n.Kind == Array {
					n = n.Items[step[0]-'0']
				} else {
					n = n.Member(step)
				}
			}
			if n == nil || n.Path() != tc.path || n.Text != tc.text {
				t.Errorf("%s: %+v, want %q at %s", tc.reason, n, tc.text, tc.path)
			}
		})
	}
}

// TestUnusable checks that an input that cannot be used as a whole gives an error with the position.
func TestUnusable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ reason, input, says string }{
		"Twice":   {"one name, two values", `{"a": {"b": 1, "b": 2}}`, "$.a.b is there twice"},
		"Deep":    {"nested beyond the bound", strings.Repeat("[", MaxDepth+1), "more than 100 deep"},
		"Cut":     {"it ends too early", `{"a": [1`, "at $.a, before byte"},
		"Broken":  {"the second document", `{} {"a" 1}`, "document 2: $"},
		"Nothing": {"a bare word", `nothing`, "before byte"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse([]byte(tc.input)); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: error %v, want one that says %q", tc.reason, err, tc.says)
			}
		})
	}
}

// TestTwins checks that names that differ only in case are two members, and that the first is marked as a twin.
func TestTwins(t *testing.T) {
	t.Parallel()
	documents, err := Parse([]byte(`{"a": 1, "A": 2, "b": 3}`))
	if err != nil {
		t.Fatal(err)
	}
	if n := documents[0]; len(n.Items) != 3 || !n.Member("a").Twin || n.Member("b").Twin {
		t.Errorf("%+v", n.Items)
	}
}
