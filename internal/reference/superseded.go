package reference

import "errors"

// ErrSuperseded is returned when an object has changed since it was read. The next pass reads it again.
var ErrSuperseded = errors.New("the object has changed since it was read")
