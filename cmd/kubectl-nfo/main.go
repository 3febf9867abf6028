// Command kubectl-nfo is a plugin of kubectl: `kubectl nfo import` imports resources from AOSM, `kubectl nfo publish` pushes
// artifacts to where a manifest lists them, or images into the mirror, `kubectl nfo login` logs docker and podman in to the
// cluster's own registry, `kubectl nfo charts` shows the images that charts need, `kubectl nfo why` says what protects an
// object or an image, and `kubectl nfo images` lists what stores have and what runs of it, or exports the mirror.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/internal/images"
	"github.com/nfo-operator/nfo/internal/login"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/publish"
	"github.com/nfo-operator/nfo/internal/terminal"
	"github.com/nfo-operator/nfo/internal/why"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes the command line and returns the exit code. All text passes through writers that
// keep unsafe characters, such as those in a status or a registry's error, from the terminal.
func run(ctx context.Context, streams genericiooptions.IOStreams, args []string) int {
	streams.Out, streams.ErrOut = terminal.Text(streams.Out), terminal.Text(streams.ErrOut)
	root := newRootCommand(streams)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if err.Error() != "" {
		fmt.Fprintln(streams.ErrOut, "error:", err)
	}
	var coded *plugin.Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return plugin.ExitUsage
}

func newRootCommand(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-nfo",
		Short:         "Take over what AOSM has, publish artifacts, and see what charts need, what keeps them and what runs",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl nfo"},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &plugin.Error{Code: plugin.ExitUsage, Err: err} })
	flags := genericclioptions.NewConfigFlags(true).WithWarningPrinter(streams)
	flags.AddFlags(root.PersistentFlags())
	root.AddCommand(newImportCommand(streams, flags), publish.NewCommand(streams, flags), login.NewCommand(streams, flags), why.NewCommand(streams, flags), images.NewCommand(streams, flags), newChartsCommand(streams, flags))
	return root
}
