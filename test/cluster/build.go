package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nfo-operator/nfo/test/cluster/lock"
)

// buildAll returns the path of every wanted binary. It builds those that are neither in
// KUBEBUILDER_ASSETS nor up to date in bin. It prints nothing if there is nothing to build.
func buildAll(ctx context.Context, wanted []target, out io.Writer) (map[string]string, error) {
	src, err := openSource()
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	var stale []target
	for _, t := range wanted {
		paths[t.name] = src.bin(t.name)
		switch asset := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), t.name); {
		case filepath.IsAbs(asset) && executable(asset):
			paths[t.name] = asset
		case !src.fresh(t):
			stale = append(stale, t)
		}
	}
	if len(stale) == 0 {
		return paths, nil
	}
	if err := os.MkdirAll(filepath.Join(src.dir, "bin"), 0o755); err != nil {
		return nil, fmt.Errorf("making the directory for binaries: %w", err)
	}
	held, err := lock.Wait(ctx, src.bin(".lock"), func(pid int) {
		fmt.Fprintf(out, "waiting for another build (process %d)\n", pid)
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for another build: %w", err)
	}
	defer held.Close() //nolint:errcheck // closing ends the lock, and nothing was written
	for _, t := range stale {
		if src.fresh(t) { // built by the process that held the lock
			continue
		}
		if err := src.build(ctx, t, out); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// build builds a binary and puts it in place with a rename, so that
// neither a running nor a half-written binary is overwritten or seen.
func (s *source) build(ctx context.Context, t target, out io.Writer) error {
	started := time.Now()
	fmt.Fprintf(out, "building %s (the first time takes %s)\n", t.name, t.cold)
	temp := s.bin("." + t.name + ".new")
	defer os.Remove(temp) //nolint:errcheck // fails after a successful build, because the rename has moved the file
	args := append([]string{"build"}, s.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", temp, t.pkg)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // killing go would leave its compilers running
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := watch(cmd, func() {
		fmt.Fprintf(out, "still building %s, %s (the first time takes %s)\n", t.name, time.Since(started).Round(time.Second), t.cold)
	}); err != nil {
		return fmt.Errorf("building %s: %w\n%s", t.name, errors.Join(ctx.Err(), err), output.Bytes())
	}
	if err := os.Rename(temp, s.bin(t.name)); err != nil {
		return fmt.Errorf("building %s: %w", t.name, err)
	}
	if err := os.WriteFile(s.bin(t.name+".stamp"), []byte(s.stamp(t)), 0o644); err != nil {
		return fmt.Errorf("building %s: %w", t.name, err)
	}
	fmt.Fprintf(out, "built %s in %s\n", t.name, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// watch runs cmd and calls tick every 15 seconds until it has ended.
func watch(cmd *exec.Cmd, tick func()) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run() }()
	ticker := time.NewTicker(15 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
			tick()
		}
	}
}
