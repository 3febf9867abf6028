package main

import (
	"github.com/spf13/cobra"

	"github.com/nfo-operator/nfo/internal/chart"
)

// newChartCommand returns the hidden command that the manager and purges start
// as a child process, to read a chart or Helm's release records in confinement.
func newChartCommand() *cobra.Command {
	var limits chart.Limits
	cmd := &cobra.Command{
		Use:    "chart",
		Short:  "Read the chart or release records of a request on standard input, confined; started by nfo itself",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := chart.Serve(limits, cmd.InOrStdin(), cmd.OutOrStdout()); err != nil {
				return &exitError{chart.ChildFailed, err}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&limits.CPU, "cpu", 0, "how much processor time it may take; default: 10s")
	cmd.Flags().Int64Var(&limits.Memory, "memory", 0, "bytes of memory that it may take; default: 384 MiB")
	return cmd
}
