package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// options are the flags of all commands.
type options struct {
	dir      string
	node     bool
	stdin    bool
	keep     bool
	timeout  time.Duration
	archives []string // the arguments of load-image
}

// parse parses the flags of command. The directory that it returns is absolute.
func parse(command string, args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("cluster "+command, flag.ContinueOnError)
	if command != "build" {
		flags.StringVar(&o.dir, "dir", "", "the cluster's `directory`: kubeconfig, ready, *.log (required; use an absolute path with go run -C)")
	}
	if command == "build" || command == "run" || command == "up" {
		flags.BoolVar(&o.node, "node", false, "with a node that runs pods (needs root and packages; the machine can have one)")
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
	if o.archives = flags.Args(); (len(o.archives) > 0) != (command == "load-image") {
		fmt.Fprintf(os.Stderr, "cluster %s %s, but got %q\n", command, arguments(command), o.archives)
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

func arguments(command string) string {
	if command == "load-image" {
		return "needs the paths of image archives (absolute ones with go run -C)"
	}
	return "takes no arguments, only flags"
}
