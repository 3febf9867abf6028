//go:build !unix

package chart

import (
	"errors"
	"fmt"
	"os/exec"
)

// closeInherited does nothing: such systems pass on only the files that a program names.
func closeInherited() {}

// endTogether leaves a command as it is: it is killed alone.
func endTogether(*exec.Cmd) {}

// limitResources fails: what a chart does could not be confined here. The plugin of kubectl, which is built for such
// systems, reads no chart.
func limitResources(Limits) error {
	return fmt.Errorf("limiting the process: %w on this system", errors.ErrUnsupported)
}
