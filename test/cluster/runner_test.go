package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// runner is a `cluster run --stdin` that a test has started.
type runner struct {
	*exec.Cmd
	dir   string
	stdin interface{ Close() error }
	out   *bufio.Scanner
}

func startRun(t *testing.T) *runner {
	t.Helper()
	r := &runner{dir: filepath.Join(t.TempDir(), "cluster")}
	r.Cmd = self(t, "run", "--dir", r.dir, "--stdin")
	stdin, err := r.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdin, r.out = stdin, bufio.NewScanner(stdout)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close() })
	return r
}

// ready waits for the line that announces the cluster, and then checks the cluster.
func (r *runner) ready(t *testing.T) *kubeconfig {
	t.Helper()
	if !r.out.Scan() {
		t.Fatalf("run ended before its cluster was ready: %v", r.Wait())
	}
	t.Log(r.out.Text())
	if _, err := os.Stat(filepath.Join(r.dir, fileReady)); err != nil {
		t.Errorf("announced before it was ready: %v", err)
	}
	return readyz(t, r.dir)
}

// readyz reads the kubeconfig as a client does and requests /readyz with it.
func readyz(t *testing.T, dir string) *kubeconfig {
	t.Helper()
	path := filepath.Join(dir, fileKubeconfig)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("%s has mode %v: others can read the key", path, info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var k kubeconfig
	if err := json.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	client, err := k.client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	if _, err := get(t.Context(), client, k.Clusters[0].Cluster.Server+"/readyz"); err != nil {
		t.Error(err)
	}
	return &k
}
