package plugin

import "fmt"

// The exit codes.
const (
	ExitFailed    = 1
	ExitUsage     = 2
	ExitNotMapped = 3
)

// Error ends the program with an exit code. If Err is nil, the command has printed everything already.
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

// Usage returns an error for a wrong command line.
func Usage(format string, args ...any) error {
	return &Error{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}
