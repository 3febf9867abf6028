package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// environment has the place of the files of `up`, and runs its helpers.
type environment struct {
	root string // of the clone
	out  io.Writer
}

// newEnvironment finds the clone that the working directory is in.
func newEnvironment(out io.Writer) (*environment, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the working directory: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "test", "demo", "main.go")); err == nil {
			return &environment{root: dir, out: out}, nil
		}
		if dir == filepath.Dir(dir) {
			return nil, fmt.Errorf("%s is not in a clone of the repository", wd)
		}
	}
}

// path returns the path of a file in bin/dev, which `down` removes.
func (e *environment) path(name string) string { return filepath.Join(e.root, "bin", "dev", name) }

func (e *environment) clusterDir() string { return e.path("cluster") }
func (e *environment) kubeconfig() string { return e.path("cluster/kubeconfig") }
func (e *environment) variables() string  { return filepath.Join(e.root, "bin", "dev.env") }
func (e *environment) nfo() string        { return filepath.Join(e.root, "bin", "nfo") }

// running reports whether any process of the environment runs.
func (e *environment) running() (bool, error) {
	for _, name := range []string{registryName, managerName} {
		if pid, err := holderOf(e.path(name + ".pid")); pid != 0 || err != nil {
			return pid != 0, err
		}
	}
	return false, nil
}

// registryHost returns the address of the registry; "" if there is none.
func (e *environment) registryHost() string {
	host, err := os.ReadFile(e.path(addressFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(host))
}

// commandTimeout is longer than any helper takes if make has built the cluster before.
const commandTimeout = 5 * time.Minute

// command runs a program in the clone, with KUBECONFIG (the administrator's),
// REGISTRY and the variables in env, and returns its output.
func (e *environment) command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var out strings.Builder
	cmd := e.prepare(ctx, env, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("running %s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return out.String(), err
}

// prepare returns a command that is interrupted together with its child processes when ctx
// ends. The signal is an interrupt, because `go run` passes no other signal on to its program.
func (e *environment) prepare(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = e.root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e.kubeconfig(), "KUBECACHEDIR="+e.path("kubectl"), "REGISTRY="+e.registryHost())
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 15 * time.Second
	return cmd
}

// kubectl runs kubectl as the administrator.
func (e *environment) kubectl(ctx context.Context, args ...string) (string, error) {
	return e.command(ctx, nil, "kubectl", args...)
}

// cluster runs a command of test/cluster.
func (e *environment) cluster(ctx context.Context, args ...string) error {
	_, err := e.command(ctx, nil, "go", append([]string{"run", "-C", "test/cluster", "."}, args...)...)
	return err
}

// poll calls done until it returns true or an error, or ctx ends.
func poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// tail returns the last lines of a log.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "(no log)"
	}
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
