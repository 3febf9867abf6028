package plugin

import "fmt"

// Exit codes.
const (
	ExitFailed    = 1
	ExitUsage     = 2
	ExitNotMapped = 3
)

// Error ends the program with a code of its own. Without an error all has been said.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Usage is an error in the command line.
func Usage(format string, args ...any) error {
	return &Error{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}
