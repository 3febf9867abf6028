package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/cluster/lock"
)

const asProgram = "NFO_CLUSTER_TEST_PROGRAM"

// TestMain lets the test binary act as the cluster program, so that tests
// can start it as a separate process and check what happens to its children.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asProgram) == "":
		os.Exit(m.Run())
	case os.Args[1] == "hold":
		if _, err := lock.Take(os.Args[2]); err != nil {
			panic(err)
		}
		fmt.Println("held")
		<-time.After(time.Hour) // waiting without a timer would end in the runtime's deadlock detection
	default:
		main()
	}
}

func self(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = os.Stderr
	return cmd
}

// build builds the binaries first, so that the tests do not measure compilation.
func build(t *testing.T) map[string]string {
	t.Helper()
	binaries, err := buildAll(t.Context(), targets, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return binaries
}

// Two clusters that run at the same time are separate. No component outlives its runner,
// whether the runner ends because its standard input is closed or because it is killed.
func TestRun(t *testing.T) {
	build(t)
	first, second := startRun(t), startRun(t)
	one, two := first.ready(t), second.ready(t)
	if one.Clusters[0].Cluster.Server == two.Clusters[0].Cluster.Server {
		t.Error("both clusters have the same address")
	}
	crossed := *one
	crossed.Clusters = two.Clusters
	if client, err := crossed.client(); err != nil {
		t.Error(err)
	} else if _, err := get(t.Context(), client, two.Clusters[0].Cluster.Server+"/api/v1/namespaces"); err == nil {
		t.Error("one cluster's administrator got into the other")
	}

	orphans := children(t, second.Process.Pid)
	if len(orphans) != len(targets) {
		t.Errorf("run has the children %v, want %d", orphans, len(targets))
	}
	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = second.Wait() // it was killed
	for _, pid := range orphans {
		awaitGone(t, pid)
	}

	family := children(t, first.Process.Pid)
	if err := first.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("run ended with %v", err)
	}
	for _, pid := range family {
		if !gone(pid) {
			t.Errorf("process %d outlived run", pid)
		}
	}
	if _, err := os.Stat(first.dir); err == nil {
		t.Errorf("run left %s behind", first.dir)
	}
}

func TestUpDown(t *testing.T) {
	build(t)
	o := options{dir: filepath.Join(t.TempDir(), "cluster"), timeout: time.Minute}
	if err := os.Mkdir(o.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filePID, fileReady} { // left by a cluster that was killed
		write(t, filepath.Join(o.dir, name), readyText(1), 0o600)
	}
	t.Setenv(asProgram, "1") // up starts this test binary
	t.Cleanup(func() {
		if err := down(context.Background(), o, os.Stderr); err != nil { //nolint:forbidigo // the test's own has ended by now
			t.Error(err)
		}
	})
	var out bytes.Buffer
	if err := up(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	readyz(t, o.dir)
	pid, err := lock.Holder(filepath.Join(o.dir, filePID))
	if err != nil {
		t.Fatal(err)
	}
	if err := up(t.Context(), o, &out); err != nil {
		t.Errorf("the second up: %v", err)
	}
	if again, err := lock.Holder(filepath.Join(o.dir, filePID)); err != nil || again != pid {
		t.Errorf("the second up replaced runner %d by %d, %v", pid, again, err)
	}
	family := append(children(t, pid), pid)
	if err := down(t.Context(), o, &out); err != nil {
		t.Error(err)
	}
	for _, pid := range family {
		awaitGone(t, pid)
	}
	if _, err := os.Stat(o.dir); err == nil {
		t.Errorf("down left %s behind", o.dir)
	}
}

func TestRunTellsWhyAComponentEnded(t *testing.T) {
	build(t)
	assets := t.TempDir()
	write(t, filepath.Join(assets, "kube-apiserver"), "#!/bin/sh\necho no such luck >&2\nexit 3\n", 0o755)
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	cmd := self(t, "run", "--dir", filepath.Join(t.TempDir(), "cluster"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil {
		t.Error("run succeeded without an API server")
	}
	for _, want := range []string{"kube-apiserver", "exit status 3", "no such luck"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("the message lacks %q:\n%s", want, &stderr)
		}
	}
}
