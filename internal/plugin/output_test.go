package plugin

import (
	"bytes"
	"testing"

	"github.com/nfo-operator/nfo/internal/terminal"
)

// Another program gets every byte of an object; a terminal gets only safe characters.
func TestDataOut(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"yaml": "x\u202e", "json": `x\u202e`, "name": "x?", "": "x?"} {
		var out bytes.Buffer
		if _, err := DataOut(terminal.Text(&out), format).Write([]byte("x\u202e")); err != nil || out.String() != want {
			t.Errorf("-o %q: %q, %v, want %q", format, out.String(), err, want)
		}
	}
}
