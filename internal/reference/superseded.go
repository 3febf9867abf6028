package reference

import "errors"

// ErrSuperseded says: the object has changed since it was read; the next pass reads again.
var ErrSuperseded = errors.New("the object has changed since it was read")
