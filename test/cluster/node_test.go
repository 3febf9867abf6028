package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/test/cluster/lock"
	"github.com/nfo-operator/nfo/test/cluster/node"
)

func TestNodeReady(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason, body string
		want         bool
	}{
		"ready":     {reason: "pods can be placed", body: `{"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}]}}`, want: true},
		"not ready": {reason: "its network may not be there yet", body: `{"status":{"conditions":[{"type":"Ready","status":"False","message":"cni"}]}}`},
		"unknown":   {reason: "the kubelet has fallen silent", body: `{"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}`},
		"new":       {reason: "the kubelet has said nothing yet", body: `{"status":{}}`},
		"other":     {reason: "True of another condition is bad news", body: `{"status":{"conditions":[{"type":"DiskPressure","status":"True"}]}}`},
		"garbage":   {reason: "half an answer is not one", body: `{"status":`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := nodeReady([]byte(test.body)); (err == nil) != test.want {
				t.Errorf("got %v, want ready %t: %s", err, test.want, test.reason)
			}
		})
	}
}

func TestWithoutCluster(t *testing.T) {
	t.Parallel()
	o := options{dir: t.TempDir(), archives: []string{"/a.tar"}}
	var out bytes.Buffer
	for want, err := range map[string]error{
		"cluster up --node --dir " + o.dir: loadImages(t.Context(), o, &out),
		"cluster up --dir " + o.dir:        printKubeconfig(o, &out),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want advice: %s", err, want)
		}
	}
	if out.Len() > 0 {
		t.Errorf("printed %q, which a caller would take for the result", &out)
	}
}

// The test goes through the life of a node: a pod runs, the runner is killed, the next start
// cleans up, a pod runs again. It finds everything that the node leaves behind on the machine.
func TestNode(t *testing.T) {
	if os.Getenv("NFO_TEST_NODE") == "" {
		t.Skip("set NFO_TEST_NODE=1 to run a node on this machine: needs root and the packages that README.md names")
	}
	binaries, err := buildAll(t.Context(), wanted(true), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	o := options{dir: filepath.Join(t.TempDir(), "cluster"), node: true, timeout: time.Minute}
	before := machine(t, o.dir)
	t.Setenv(asProgram, "1") // up starts this test binary
	t.Cleanup(func() {
		if err := down(context.Background(), o, os.Stderr); err != nil { //nolint:forbidigo // the test's own has ended by now
			t.Error(err)
		}
	})
	start(t, o)
	runPod(t, o, binaries)
	other := options{dir: o.dir + "-2", node: true, timeout: time.Minute}
	if err := up(t.Context(), other, os.Stderr); err == nil || !strings.Contains(err.Error(), "cluster down --dir "+o.dir) {
		t.Errorf("a second node: got %v, want advice how to end the first", err)
	}
	runner, err := lock.Process(filepath.Join(o.dir, filePID))
	if err != nil || runner == nil {
		t.Fatalf("no runner: %v", err)
	}
	if err := runner.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := lock.Released(t.Context(), filepath.Join(o.dir, filePID)); err != nil {
		t.Fatal(err)
	}
	start(t, o)
	runPod(t, o, binaries)
	for range 2 {
		if err := down(t.Context(), o, os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, machine(t, o.dir)); diff != "" {
		t.Errorf("the node has left something (-before +after):\n%s", diff)
	}
	if _, err := os.Lstat(o.dir); err == nil {
		t.Errorf("the node has left %s", o.dir)
	}
}

func start(t *testing.T, o options) {
	t.Helper()
	if err := up(t.Context(), o, os.Stderr); err != nil {
		t.Fatal(err)
	}
	readyz(t, o.dir)
}

// runPod runs a pod in a namespace with the restricted Pod Security Standard until it is ready.
func runPod(t *testing.T, o options, binaries map[string]string) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "pause.tar")
	if err := writePauseImage(archive, binaries["pause"]); err != nil {
		t.Fatal(err)
	}
	o.archives = []string{archive}
	if err := loadImages(t.Context(), o, os.Stderr); err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binaries["kubectl"], append([]string{"--kubeconfig", filepath.Join(o.dir, fileKubeconfig)}, args...)...)
		cmd.Env = []string{"HOME=" + t.TempDir()} // no proxy, no cache
		cmd.Stdin = strings.NewReader(pod)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
	kubectl("create", "namespace", "strict")
	kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
	kubectl("wait", "--for=create", "--timeout=30s", "--namespace=strict", "serviceaccount/default")
	kubectl("apply", "-f", "-")
	kubectl("wait", "--for=condition=Ready", "--timeout=60s", "--namespace=strict", "pod/pause")
}

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: pause, namespace: strict}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: pause
    image: ` + node.PauseImage + `
    imagePullPolicy: Never
    resources: {limits: {memory: 32Mi, cpu: 100m}}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`

// machine lists everything that a node in dir could leave behind.
func machine(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{
		"/run/*", "/run/containerd/*", "/run/containerd/s/*", "/run/netns/*", "/var/lib/cni/*", "/var/lib/cni/results/*", "/var/lib/kubelet/*", "/var/lib/kubelet/device-plugins/*",
		"/var/lib/containerd", "/var/log/containers/*", "/var/log/pods", "/opt/*", "/etc/cni/net.d/*", "/sys/class/net/*", "/sys/fs/cgroup/*/nfo-node", "/sys/fs/cgroup/nfo-node",
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, matches...)
	}
	for _, file := range []string{"/proc/net/route", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, file+": "+string(text))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		for _, place := range []string{dir, "/run/", "/var/"} { // other programs mount elsewhere during the test
			if path := strings.Fields(line)[4]; strings.HasPrefix(path, place) {
				found = append(found, "mounted: "+path)
			}
		}
	}
	return append(found, processes(t)...)
}

// processes lists the running programs of a node, by name.
func processes(t *testing.T) []string {
	t.Helper()
	names := []string{"containerd", "containerd-shim", "pause", "kubelet", "kube-proxy", "kube-scheduler"}
	files, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		text, _ := os.ReadFile(file) // the process may have ended meanwhile
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/comm", &pid); err != nil {
			t.Fatal(err)
		}
		if name := strings.TrimSpace(string(text)); slices.Contains(names, name) && !gone(pid) {
			found = append(found, fmt.Sprintf("process %d: %s", pid, name))
		}
	}
	return found
}
