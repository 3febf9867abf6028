package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/nfo-operator/nfo/internal/terminal"
)

// Print writes an answer, in JSON if that is its output, and otherwise as text does. Errors are those of Printed.
func Print(out io.Writer, output string, answer any, text func(io.Writer) error) error {
	if output == "json" {
		return Printed(WriteJSON(out, answer))
	}
	return Printed(text(out))
}

// Printed is a failure if an answer could not be written, and nil if err is.
func Printed(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: ExitFailed, Err: fmt.Errorf("printing: %w", err)}
}

// WriteJSON writes a document for programs. It means what v says, and shows nothing on a terminal that could
// take it over.
func WriteJSON(out io.Writer, v any) error {
	e := json.NewEncoder(terminal.JSON(unwrap(out)))
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// unwrap returns the stream below the writer of texts.
func unwrap(out io.Writer) io.Writer {
	if w, ok := out.(*terminal.Writer); ok {
		return w.Unwrap()
	}
	return out
}

// TerminalOf returns the terminal that a stream leads to; nil if it leads elsewhere.
func TerminalOf(out io.Writer) *os.File {
	if file, ok := unwrap(out).(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// DataOut is where an object goes that is printed in a format of kubectl: another program may read it, and gets every
// byte; a person at a terminal gets what can be shown.
func DataOut(out io.Writer, format string) io.Writer {
	switch {
	case format == "json":
		return terminal.JSON(unwrap(out))
	case format == "", format == "name", TerminalOf(out) != nil:
		return out
	}
	return unwrap(out)
}
