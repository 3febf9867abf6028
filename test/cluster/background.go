package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nfo-operator/nfo/test/cluster/lock"
	"github.com/nfo-operator/nfo/test/cluster/node"
)

// endIn is the time in which a cluster must end before down kills it. It covers
// at most eight components, each with its grace, and the removal of files.
const endIn = time.Minute

// up starts a cluster in the directory, unless one runs there, and returns when it is ready.
func up(ctx context.Context, o options, out io.Writer) error {
	if _, err := prepare(ctx, o, out); err != nil { // here, where its progress is seen
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not ready within %s", o.timeout))
	defer cancel()
	pid, err := lock.Holder(filepath.Join(o.dir, filePID))
	if err != nil {
		return err
	}
	started, state := time.Now(), "already running"
	if pid == 0 {
		if err := startRunner(ctx, o); err != nil {
			return err
		}
	}
	if err := awaitReady(ctx, o.dir, nil); err != nil {
		return err
	}
	if pid == 0 {
		state = fmt.Sprintf("started in %.1fs", time.Since(started).Seconds())
	}
	if n, err := node.Open(o.dir); err != nil || n.Exists() != o.node {
		return errors.Join(err, fmt.Errorf("the cluster that runs in %s was started with --node=%t: end it with 'cluster down --dir %s', then try again", o.dir, !o.node, o.dir))
	}
	fmt.Fprintf(out, "cluster %s: export KUBECONFIG=%s\n", state, filepath.Join(o.dir, fileKubeconfig))
	return nil
}

// startRunner runs this program's run command in a new session and returns when the cluster is
// ready. The runner does not need its executable file after the start, so `go run` may remove it.
func startRunner(ctx context.Context, o options) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	path := filepath.Join(o.dir, fileRunnerLog)
	log, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own handle
	cmd := exec.Command(self, "run", "--dir", o.dir, "--timeout", o.timeout.String(), fmt.Sprintf("--keep=%t", o.keep), fmt.Sprintf("--node=%t", o.node))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its log says more
		close(ended)
	}()
	err = awaitReady(ctx, o.dir, ended)
	if errors.Is(err, errEnded) {
		return fmt.Errorf("starting the cluster: it ended; %s says:\n%s", path, tail(path, 40))
	}
	if err != nil {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails only if the process has ended
		<-ended
	}
	return err
}

var errEnded = errors.New("ended before it was ready")

// awaitReady returns nil once a cluster in dir is ready. It returns errEnded if no process runs
// a cluster in dir: the runner that closes ended has ended, and no other runner holds the lock.
func awaitReady(ctx context.Context, dir string, ended <-chan struct{}) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		pid, err := lock.Holder(filepath.Join(dir, filePID))
		if err != nil {
			return err
		}
		// If a cluster was killed, its ready file contains the number of another process than the one that holds the lock.
		if ready, _ := os.ReadFile(filepath.Join(dir, fileReady)); pid != 0 && string(ready) == readyText(pid) {
			return nil
		}
		if pid == 0 && ended == nil {
			return errEnded
		}
		select {
		case <-ended:
			ended = nil // another runner may have taken the lock first
		case <-ctx.Done():
			return fmt.Errorf("waiting for the cluster: %w", context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// down ends the cluster in the directory, whichever process started it, and returns when
// its processes and files are gone. It signals only the process that holds the lock.
func down(ctx context.Context, o options, out io.Writer) error {
	started, path := time.Now(), filepath.Join(o.dir, filePID)
	n, err := node.Open(o.dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !n.Exists() {
		fmt.Fprintf(out, "no cluster in %s\n", o.dir)
		return nil
	}
	runner, err := lock.Process(path)
	if err != nil {
		return err
	}
	if runner != nil {
		if err := end(ctx, runner, path); err != nil {
			return err
		}
	}
	held, err := claim(ctx, o.dir)
	if err != nil {
		return err
	}
	if err := errors.Join(clean(o.dir, false), held.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "cluster in %s is down after %.1fs\n", o.dir, time.Since(started).Seconds())
	return nil
}

// end asks the runner to end, and kills it after endIn. Its children die with it.
func end(ctx context.Context, runner *os.Process, path string) error {
	if err := runner.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending process %d: %w", runner.Pid, err)
	}
	patient, cancel := context.WithTimeout(ctx, endIn)
	defer cancel()
	err := lock.Released(patient, path)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if err := runner.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing process %d: %w", runner.Pid, err)
	}
	return lock.Released(ctx, path)
}
