package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// downTimeout bounds the time to end everything, including the half minute that the cluster may take.
const downTimeout = 90 * time.Second

func newDownCommand() *cobra.Command {
	return inEnvironment("down", "End what `up` started, and remove its files", func(ctx context.Context, e *environment) error {
		if err := e.down(ctx); err != nil {
			return err
		}
		fmt.Fprintln(e.out, "Nothing is left running.")
		return nil
	})
}

// down ends every process and removes every file of the environment. It can be
// repeated. If a process does not end, the files stay, because they show which one.
func (e *environment) down(ctx context.Context) error {
	if _, err := os.Stat(e.path("")); errors.Is(err, os.ErrNotExist) {
		return e.remove()
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	err := errors.Join(e.end(ctx, managerName), e.end(ctx, registryName))
	if _, statErr := os.Stat(e.clusterDir()); statErr == nil {
		err = errors.Join(err, e.cluster(ctx, "down", "--dir", e.clusterDir()))
	}
	if err != nil {
		return err
	}
	return e.remove()
}

// downAfter calls down after a failure or an interruption.
func (e *environment) downAfter(ctx context.Context) error {
	fmt.Fprintln(e.out, "\nEnding what was started.")
	return e.down(context.WithoutCancel(ctx))
}

func (e *environment) remove() error {
	return errors.Join(os.RemoveAll(e.variables()), os.RemoveAll(e.path("")))
}
