package terminal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/terminal"
)

const hostile = "deleted\x1b[2J\x1b]0;title\a\u202e\u2066\u200f\u009b31m é\r\n\tend\xff"

func TestText(t *testing.T) {
	t.Parallel()
	const want = "deleted?[2J?]0;title?31m é?\n\tend?"
	for size := 1; size <= len(hostile); size++ {
		var out bytes.Buffer
		w := terminal.Text(&out)
		for text := hostile + "\n"; text != ""; {
			n := min(size, len(text))
			if wrote, err := w.Write([]byte(text[:n])); err != nil || wrote != n {
				t.Fatalf("wrote %d of %d, %v", wrote, n, err)
			}
			text = text[n:]
		}
		// Two unsafe characters in a row may come in two writes, and be replaced separately.
		got := strings.ReplaceAll(strings.ReplaceAll(out.String(), "????", "?"), "??", "?")
		if got = strings.ReplaceAll(got, "??", "?"); got != want+"\n" {
			t.Fatalf("in writes of %d bytes: %q, want %q", size, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	document := map[string]string{"message": "deleted\x1b[2J\u202e\u2066\u200f\u009b31m é \u2028\n"}
	var out bytes.Buffer
	e := json.NewEncoder(terminal.JSON(&out))
	e.SetIndent("", "  ")
	if err := e.Encode(document); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u202e\u2066\u200f\u009b\u2028") {
		t.Errorf("%q has control characters in it", out.String())
	}
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["message"] != document["message"] {
		t.Errorf("%q, %v, want the same document: %q", got["message"], err, document["message"])
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the pipe is closed") }

func TestBroken(t *testing.T) {
	t.Parallel()
	if n, err := terminal.Text(broken{}).Write([]byte("a")); err == nil || n != 0 {
		t.Errorf("wrote %d, %v, want the error", n, err)
	}
}
