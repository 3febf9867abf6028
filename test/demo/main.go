// Command demo is the operator to play with, and the story of one manifest, on a machine with
// Go, make and kubectl: `make up` starts a Kubernetes API server, an OCI registry and the
// manager on 127.0.0.1, `make demo` tells the story, `make down` ends it all.
//
// Contract: what the story prints has been run as it is printed; it ends with exit code 0 only
// if every step went as expected. Nothing is written outside bin but Go's caches, and `down` leaves
// nothing running.
//
// Decision: commands are run by a shell through kubectl and bin/nfo, as a person would, and not
// by a client library, so that the story is also documentation that cannot be wrong.
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

// inEnvironment makes a command of a function that works on the environment of this clone.
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
