package plugintest

import "syscall"

// Full is a writer to a full disk.
type Full struct{}

// Write writes nothing.
func (Full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
