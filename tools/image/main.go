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

const usage = `image makes the operator's container image without a container engine.

Usage: go run -C tools/image . <command>

Commands:
  roots <file>                                write the public root certificates as PEM
  build <flags> <platform>=<binary>...        write an OCI archive; 'image build --help' lists the flags
  push <archive> <registry/repository:tag>    push the archive's index, and print its digest
  compare <archive> <archive>                 fail if configurations or root file systems differ

compare takes directories in the OCI layout too. push logs in with what 'docker login' or 'podman login' left.
`

// errUsage ends the program with status 2; the fault has been printed already.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	command, args := args[0], args[1:]
	switch {
	case command == "help", command == "-h", command == "--help":
		fmt.Fprint(out, usage)
		return nil
	case command == "roots" && len(args) == 1:
		return writeRoots(args[0])
	case command == "build":
		return runBuild(args, out)
	case command == "push" && len(args) == 2:
		return push(ctx, args[0], args[1], out)
	case command == "compare" && len(args) == 2:
		return compare(args[0], args[1], out)
	}
	fmt.Fprintf(os.Stderr, "image: no command %q with %d arguments\n\n%s", command, len(args), usage)
	return errUsage
}

// runBuild writes the archive that its arguments describe, and prints the image's name and digest.
func runBuild(args []string, out io.Writer) error {
	s, output, err := parseBuild(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	index, err := s.build()
	if err != nil {
		return err
	}
	if err := writeArchive(output, named(index, s.name), s.created); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s@%s\n", output, s.name, digest)
	return nil
}
