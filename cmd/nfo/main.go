// Command nfo is the operator: `nfo manager` runs the controllers, `nfo purge` sweeps one store,
// `nfo registry` serves artifacts from a volume, `nfo agent` serves mirrored images to a node, `nfo
// check` checks that the operator works, and `nfo remove` removes the operator from the cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nfo-operator/nfo/internal/terminal"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(terminal.Text(os.Stderr), "Error:", err)
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return 2
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "nfo",
		Short:         "Knows what every artifact in an OCI registry is used for, and cleans up the rest",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newManagerCommand(), newPurgeCommand(), newRemoveCommand(), newCheckCommand(), newChartCommand(), newRegistryCommand(), newAgentCommand())
	return root
}
