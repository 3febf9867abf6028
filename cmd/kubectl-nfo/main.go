// Command kubectl-nfo is kubectl's plugin: `kubectl nfo import` takes over what AOSM has, `kubectl nfo publish`
// pushes artifacts to where a manifest lists them, `kubectl nfo charts` shows the images that charts need, and
// `kubectl nfo why` says what keeps an object or an image.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/terminal"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

// exitError ends the program with a code of its own. Without an error all has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage is an error in the command line.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// run executes the command line and returns the exit code. Whatever is written for people, such as a status
// that others have set or a registry's error, goes through writers that a terminal can trust.
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
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitUsage
}

func newRootCommand(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-nfo",
		Short:         "Take over what AOSM has, publish artifacts, and see what charts need and what keeps them",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl nfo"},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUsage, err} })
	flags := genericclioptions.NewConfigFlags(true).WithWarningPrinter(streams)
	flags.AddFlags(root.PersistentFlags())
	root.AddCommand(newImportCommand(streams, flags), newPublishCommand(streams, flags), newWhyCommand(streams, flags), newChartsCommand(streams, flags))
	return root
}

// connect makes an uncached client for the cluster that the flags name. Warnings of the API server go to
// standard error, as with kubectl.
func connect(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) (client.Client, error) {
	kube, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	kube.QPS, kube.Burst = 50, 300 // as kubectl's
	kube.WarningHandler = rest.NewWarningWriter(streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	mapper, err := flags.ToRESTMapper()
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	api, err := client.New(kube, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return api, nil
}
