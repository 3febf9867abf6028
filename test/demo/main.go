// Command demo runs the operator for trying it out, and tells the story of one manifest, on a
// machine with Go, make and kubectl: `make up` starts a Kubernetes API server, an OCI registry
// and the manager on 127.0.0.1, `make demo` tells the story, and `make down` ends everything.
//
// Contract: every command that the story prints was run as printed, and the exit code is 0 only if every step
// had the expected result. Nothing is written outside bin except Go's caches. `down` leaves no process running.
//
// Decision: a shell runs the commands with kubectl and bin/nfo, as a user would, so that the story is also
// documentation that is always correct. Rejected: a client library. With it the story would not be documentation.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	root := newRootCommand()
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "demo",
		Short:         "Start the operator with a cluster and a registry, and tell a story with it",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newUpCommand(), newRunCommand(), newDownCommand(),
		newPushCommand(), newTagCommand(), newTagsCommand(), newResolveCommand(),
		newRegistryCommand(), newCollectCommand(), newHoldCommand(),
	)
	return root
}

// inEnvironment returns a command that calls a function with the environment of this clone.
func inEnvironment(use, short string, do func(context.Context, *environment) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := newEnvironment(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			return do(cmd.Context(), e)
		},
	}
}
