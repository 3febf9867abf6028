package plugintest

import "syscall"

// Full is a disk without room.
type Full struct{}

// Write writes nothing.
func (Full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
