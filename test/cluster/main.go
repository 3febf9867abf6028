// Command cluster gives tests a real Kubernetes control plane: it builds etcd, kube-apiserver and
// kube-controller-manager from their Go modules and runs them on 127.0.0.1. Without a node there is no
// kubelet: all controllers work, but pods never start. With --node it also runs the scheduler, kubelet,
// kube-proxy and containerd in a network namespace, and pods start. A machine can have one such cluster.
//
// Contract: two clusters in two directories share nothing, and no component outlives the
// process that asked for it, however that process ends. If that process is killed, a node
// leaves changes on the machine; down, or the next start in the same directory, removes them.
//
// Decision: the command is a separate module, and only the tool directives of its go.mod refer to Kubernetes,
// so that the thousand packages that Kubernetes needs stay out of the operator's go.mod. Rejected:
// downloading released binaries, because a Go toolchain and a module proxy would then no longer be enough.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `cluster builds, starts and stops a Kubernetes cluster for tests.

Usage: go run -C test/cluster . <command> [flags]

Commands:
  build        build the binaries that are missing or stale into test/cluster/bin
  run          run a cluster in the foreground until SIGINT or SIGTERM
  up           start a cluster in the background; returns when it is ready
  down         end the cluster that up started, and remove its files
  kubeconfig   print the administrator's kubeconfig
  load-image   give the node the images of the named archives

Without --node a cluster is a control plane: pods are created but never start. With it (build,
run, up) they run on this machine, which needs root and some packages of Debian.

build, run and up build what they need first. 'cluster <command> --help' lists the flags.
Environment: KUBEBUILDER_ASSETS, a directory whose binaries are used instead of own ones.
`

// errUsage ends the program with status 2. The flag package has already printed the reason.
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
	case "build", "run", "up", "down", "kubeconfig", "load-image":
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
		_, err = buildAll(ctx, wanted(o.node), out)
	case "run":
		err = run(ctx, o, out)
	case "up":
		err = up(ctx, o, out)
	case "down":
		err = down(ctx, o, out)
	case "kubeconfig":
		err = printKubeconfig(o, out)
	case "load-image":
		err = loadImages(ctx, o, out)
	}
	return err
}
