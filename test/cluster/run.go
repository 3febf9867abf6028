package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nfo-operator/nfo/test/cluster/lock"
	"github.com/nfo-operator/nfo/test/cluster/node"
)

// The files in a cluster's directory. Callers wait for ready, then read kubeconfig.
const (
	fileKubeconfig = "kubeconfig"
	fileEtcd       = "etcd.url" // contains etcd's address; missing if the cluster has a node
	fileReady      = "ready"
	filePID        = "pid" // locked while the cluster runs
	fileRunnerLog  = "cluster.log"
)

// run runs a cluster until ctx or standard input ends, or a component fails. When it returns, no component runs any more.
func run(ctx context.Context, o options, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.stdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // an error also means that standard input has ended
			cancel()
		}()
	}
	binaries, err := prepare(ctx, o, out)
	if err != nil {
		return err
	}
	held, err := claim(ctx, o.dir)
	if err != nil {
		return err
	}
	started := time.Now()
	err = serve(ctx, o, binaries, func() {
		fmt.Fprintf(out, "cluster ready after %.1fs: export KUBECONFIG=%s\n", time.Since(started).Seconds(), filepath.Join(o.dir, fileKubeconfig))
	})
	// The lock's file is removed before the lock is released, so that
	// the next process that gets the lock finds a clean directory.
	return errors.Join(err, clean(o.dir, o.keep || err != nil), held.Close())
}

// prepare builds the binaries of the cluster, if the machine can run it.
func prepare(ctx context.Context, o options, out io.Writer) (map[string]string, error) {
	if o.node {
		n, err := node.Open(o.dir)
		if err != nil {
			return nil, err
		}
		if err := n.Check(); err != nil {
			return nil, err
		}
	}
	return buildAll(ctx, wanted(o.node), out)
}

// claim locks dir for a new cluster and removes what a killed cluster left there.
func claim(ctx context.Context, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, filePID)); errors.Is(err, os.ErrNotExist) {
		for _, name := range []string{"etcd", "pki", "node", "node.json", fileKubeconfig, fileEtcd} {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				return nil, fmt.Errorf("%s has a %s that no cluster here has made: choose another directory", dir, name)
			}
		}
	}
	held, err := lock.Take(filepath.Join(dir, filePID))
	if errors.Is(err, lock.ErrHeld) {
		return nil, fmt.Errorf("a cluster runs in %s already", dir)
	}
	if err != nil {
		return nil, err
	}
	n, err := node.Open(dir)
	if err == nil {
		err = errors.Join(n.Down(ctx), cleanData(dir))
	}
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return held, nil
}

// serve starts the control plane, announces it and runs it until ctx ends or a component fails.
func serve(ctx context.Context, o options, binaries map[string]string, announce func()) (err error) {
	living, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	plane := &controlPlane{dir: o.dir, binaries: binaries, stopping: make(chan struct{}), fail: fail}
	if o.node {
		if plane.node, err = node.Open(o.dir); err != nil {
			return err
		}
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(filepath.Join(o.dir, fileReady)), plane.stop(context.WithoutCancel(ctx)))
	}()
	starting, cancel := context.WithTimeoutCause(living, o.timeout, fmt.Errorf("not ready within %s", o.timeout))
	defer cancel()
	admin, err := plane.start(starting)
	if ctx.Err() != nil { // asked to end before the cluster was ready
		return nil
	}
	if cause := context.Cause(living); errors.Is(cause, errFailed) {
		return cause
	}
	if err != nil {
		return err
	}
	if err := admin.write(filepath.Join(o.dir, fileKubeconfig)); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(o.dir, fileReady), []byte(readyText(os.Getpid()))); err != nil {
		return err
	}
	announce()
	<-living.Done()
	if cause := context.Cause(living); errors.Is(cause, errFailed) {
		return cause
	}
	return nil
}

// readyText returns the content of a runner's ready file.
func readyText(pid int) string { return strconv.Itoa(pid) + "\n" }

// cleanData removes the files that a new cluster in dir must not reuse.
func cleanData(dir string) error {
	var errs []error
	for _, name := range []string{fileReady, fileKubeconfig, fileEtcd, "etcd", "pki"} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// clean removes the files of a cluster that has ended, and the directory if it is
// then empty. It removes files by name, because the directory may contain others.
func clean(dir string, keepLogs bool) error {
	errs := []error{cleanData(dir)}
	if !keepLogs {
		for _, t := range append(wanted(true), target{name: "containerd"}) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, t.name+".log")))
		}
		errs = append(errs, os.RemoveAll(filepath.Join(dir, fileRunnerLog)))
	}
	errs = append(errs, os.RemoveAll(filepath.Join(dir, filePID)))
	_ = os.Remove(dir) // fails, as it should, if the directory is not empty
	return errors.Join(errs...)
}
