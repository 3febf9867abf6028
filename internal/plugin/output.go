package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/nfo-operator/nfo/internal/terminal"
)

// Print writes an answer as JSON if output is "json", and otherwise with text. It returns the errors of Printed.
func Print(out io.Writer, output string, answer any, text func(io.Writer) error) error {
	if output == "json" {
		return Printed(WriteJSON(out, answer))
	}
	return Printed(text(out))
}

// Printed returns the error for an answer that could not be written; nil if err is nil.
func Printed(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: ExitFailed, Err: fmt.Errorf("printing: %w", err)}
}

// WriteJSON writes v as JSON. Characters that could control a terminal are escaped, which keeps the meaning of the JSON.
func WriteJSON(out io.Writer, v any) error {
	e := json.NewEncoder(terminal.JSON(unwrap(out)))
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// unwrap returns the stream below a terminal.Writer.
func unwrap(out io.Writer) io.Writer {
	if w, ok := out.(*terminal.Writer); ok {
		return w.Unwrap()
	}
	return out
}

// TerminalOf returns the terminal that a stream writes to; nil if it writes elsewhere.
func TerminalOf(out io.Writer) *os.File {
	if file, ok := unwrap(out).(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// DataOut returns the writer for an object printed in one of kubectl's formats. Another program
// gets every byte of the object; a terminal gets only characters that are safe to show.
func DataOut(out io.Writer, format string) io.Writer {
	switch {
	case format == "json":
		return terminal.JSON(unwrap(out))
	case format == "", format == "name", TerminalOf(out) != nil:
		return out
	}
	return unwrap(out)
}
