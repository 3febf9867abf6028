//go:build !unix

package chart

import (
	"errors"
	"fmt"
	"os/exec"
)

// closeInherited does nothing: on such systems, a child gets only the files that are passed explicitly.
func closeInherited() {}

// endTogether does nothing: only the command itself is killed, without the processes that it starts.
func endTogether(*exec.Cmd) {}

// limitResources fails, because a chart could not be confined on this system.
// The kubectl plugin, which is built for such systems, reads no charts.
func limitResources(Limits) error {
	return fmt.Errorf("limiting the process: %w on this system", errors.ErrUnsupported)
}
