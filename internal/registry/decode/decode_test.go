package decode

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// TestI2Lists finds a list that is cut, or read although a part of it is invalid.
func TestI2Lists(t *testing.T) {
	t.Parallel()
	one := `{"mediaType": "m", "digest": "sha256:` + strings.Repeat("a", 64) + `", "size": 1, "other": [1]}`
	for name, tc := range map[string]struct {
		reason, document string
		count            int
		bad              bool
	}{
		"Two":     {"each is read", `{"list": [` + one + `, ` + one + `]}`, 2, false},
		"Null":    {"null is an empty list", `{"list": null}`, 0, false},
		"Absent":  {"and so is nothing", `{}`, 0, false},
		"Most":    {"as many as an image has at most", `{"list": [` + strings.Repeat(one+",", MaxDescriptors-1) + one + `]}`, MaxDescriptors, false},
		"More":    {"one more than that", `{"list": [` + strings.Repeat(one+",", MaxDescriptors) + one + `]}`, 0, true},
		"Twice":   {"which one counts depends on the reader", `{"list": [` + one + `], "list": []}`, 0, true},
		"Nothing": {"null where a digest must be", `{"list": [null]}`, 0, true},
		"Object":  {"not a list", `{"list": {}}`, 0, true},
		"Digest":  {"not a digest", `{"list": [{"digest": "sha256:a"}]}`, 0, true},
		"Fields":  {"a digest that is there twice", `{"one": ` + one + `, "one": ` + one + `}`, 0, true},
		"Digests": {"a runtime may take the other", `{"one": {"digest": "sha256:` + strings.Repeat("b", 64) + `", ` + one[1:] + `}`, 0, true},
		"Case":    {"so may a reader that minds the case", `{"one": {"DIGEST": "sha256:` + strings.Repeat("b", 64) + `", ` + one[1:] + `}`, 0, true},
		"Types":   {"is it a manifest with parts of its own?", `{"one": {"mediaType": "n", ` + one[1:] + `}`, 0, true},
		"Sizes":   {"which is it?", `{"one": {"size": 2, ` + one[1:] + `}`, 0, true},
		"Escaped": {"an escape is read as JSON has it", `{"one": {"mediaType": "\u006d", "digest": "sha\u0032\u0035\u0036:` + strings.Repeat("b", 64) + `"}}`, 0, false},
		"Wrong":   {"a size is a number", `{"list": [{"digest": "sha256:` + strings.Repeat("b", 64) + `", "size": "1"}]}`, 0, true},
		"NoText":  {"a digest is a text", `{"list": [{"digest": 1}]}`, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var read struct {
				List Descriptors `json:"list"`
				One  Descriptor  `json:"one"`
			}
			err := json.Unmarshal([]byte(tc.document), &read)
			if errors.Is(err, failure.ErrUnreadable) != tc.bad || (err != nil) != tc.bad {
				t.Fatalf("%s: error %v, want unreadable: %t", tc.reason, err, tc.bad)
			}
			if err == nil && len(read.List.List) != tc.count {
				t.Errorf("%s: %d are read, want %d", tc.reason, len(read.List.List), tc.count)
			}
		})
	}
}
