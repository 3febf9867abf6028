package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/removal"
	"github.com/nfo-operator/nfo/internal/terminal"
)

const removeHelp = `Takes the operator out of the cluster, before what was installed is deleted. It works also when the
manager is already dead.

It deletes the webhooks, stops the manager and waits for its pods, stops purges and waits for these,
deletes what the manager made, and takes the operator's finalizer off every object. The objects
stay, but for those that were being deleted: these go. Tombstones stay. No registry is touched.
It can be stopped, and run again, at any time; what is done already is not done again. To go back,
start the manager again.

With --dry-run it tells what it would do and writes nothing.

Exit codes:
  0  done, also when there was nothing to do, also after a dry run
  1  something failed, took longer than --timeout, or it was stopped; do what it says and run it again
  2  wrong usage, also a --namespace that the manager is not in; nothing has been changed`

// requestTimeout bounds one request, so that an API server that does not answer is noticed.
const requestTimeout = time.Minute

// removeFlags holds the flags of `nfo remove`.
type removeFlags struct {
	namespace string
	timeout   time.Duration
	dryRun    bool
	clusterFlags
}

func newRemoveCommand() *cobra.Command {
	var flags removeFlags
	cmd := &cobra.Command{
		Use:     "remove",
		Short:   "Take the operator out of the cluster, and leave nothing stuck",
		Long:    removeHelp,
		Example: "  nfo remove --dry-run\n  nfo remove && kubectl delete -k config --ignore-not-found",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &exitError{cronjob.ExitUsage, fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.validate(); err != nil {
				return &exitError{cronjob.ExitUsage, err}
			}
			return runRemove(cmd.Context(), flags, terminal.Text(cmd.OutOrStdout()))
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{cronjob.ExitUsage, err} })
	f := cmd.Flags()
	f.StringVarP(&flags.namespace, "namespace", "n", v1alpha1.ManagerNamespace, "namespace of the manager")
	f.DurationVar(&flags.timeout, "timeout", 5*time.Minute, "how long to wait for the manager and for purges, in all; purges are ended after half of what the manager has left of it")
	f.BoolVar(&flags.dryRun, "dry-run", false, "tell what would be done and write nothing")
	flags.add(cmd)
	return cmd
}

func (f removeFlags) validate() error {
	switch {
	case f.namespace == "":
		return errors.New("--namespace must not be empty")
	case f.timeout <= 0:
		return fmt.Errorf("--timeout is %s and must be above 0", f.timeout)
	}
	return nil
}

func runRemove(ctx context.Context, flags removeFlags, out io.Writer) error {
	_, api, err := flags.connect(requestTimeout)
	if err != nil {
		return &exitError{cronjob.ExitFailed, err}
	}
	err = removal.Run(ctx, removal.Config{Client: api, Namespace: flags.namespace, Timeout: flags.timeout, DryRun: flags.dryRun, Out: out})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, removal.ErrNamespace):
		return &exitError{cronjob.ExitUsage, err}
	}
	return &exitError{cronjob.ExitFailed, err}
}
