// Command cluster gives tests a real Kubernetes control plane: it builds etcd,
// kube-apiserver and kube-controller-manager from their Go modules and runs them on
// 127.0.0.1. There is no kubelet: every controller works, but pods never start.
//
// Contract: two clusters in two directories never meet, and nothing outlives the process
// that asked for it, however that process ends.
//
// Decision: it is a module of its own, and Kubernetes is only named in the tool directives
// of its go.mod, so that the thousand packages behind it stay out of the operator's go.mod.
// Rejected: downloading released binaries, because a Go toolchain and a module proxy are
// then no longer enough.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const usage = `cluster builds, starts and stops a Kubernetes control plane for tests.

Usage: go run -C test/cluster . <command> [flags]

Commands:
  build   build the binaries that are missing or stale into test/cluster/bin
  run     run a cluster in the foreground until SIGINT or SIGTERM
  up      start a cluster in the background; returns when it is ready
  down    end the cluster that up started, and remove its files

Every command builds what it needs first. 'cluster <command> --help' lists the flags.
Environment: KUBEBUILDER_ASSETS, a directory whose binaries are used instead of own ones.
`

// errUsage ends the program with status 2; the flag package has already said why.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// options are the flags of run, up and down.
type options struct {
	dir     string
	stdin   bool
	keep    bool
	timeout time.Duration
}

func dispatch(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	command := args[0]
	switch command {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(out, usage)
		return nil
	case "build", "run", "up", "down":
	default:
		fmt.Fprintf(os.Stderr, "cluster: no command %q\n\n%s", command, usage)
		return errUsage
	}
	o, err := parse(command, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	switch command {
	case "build":
		_, err = buildAll(ctx, out)
	case "run":
		err = run(ctx, o, out)
	case "up":
		err = up(ctx, o, out)
	case "down":
		err = down(ctx, o, out)
	}
	return err
}

// parse reads the flags that command takes. The returned directory is absolute.
func parse(command string, args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("cluster "+command, flag.ContinueOnError)
	if command != "build" {
		flags.StringVar(&o.dir, "dir", "", "the cluster's `directory`: kubeconfig, ready, *.log (required; use an absolute path with go run -C)")
	}
	if command == "run" || command == "up" {
		flags.BoolVar(&o.keep, "keep", false, "keep the logs at the end; they always stay when a component fails")
		flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long the cluster may take to get ready")
	}
	if command == "run" {
		flags.BoolVar(&o.stdin, "stdin", false, "end when standard input is closed, so that the caller's death ends the cluster too")
	}
	if err := flags.Parse(args); err != nil {
		return o, errors.Join(errUsage, err)
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "cluster %s takes no arguments, only flags: %q\n", command, flags.Args())
		return o, errUsage
	}
	if command == "build" {
		return o, nil
	}
	if o.dir == "" {
		fmt.Fprintf(os.Stderr, "cluster %s needs --dir\n", command)
		return o, errUsage
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return o, fmt.Errorf("finding the directory: %w", err)
	}
	o.dir = dir
	return o, nil
}
