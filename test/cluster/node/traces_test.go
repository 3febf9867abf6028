package node

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRemoveSockets(t *testing.T) {
	t.Parallel()
	n := newNode(t, t.TempDir())
	sockets := t.TempDir()
	write(t, filepath.Join(sockets, "ours"), "")
	write(t, filepath.Join(sockets, "theirs"), "")
	for task, name := range map[string]string{"a": "ours", "b": "gone"} {
		write(t, n.Path("containerd/state/io.containerd.runtime.v2.task/k8s.io/"+task+"/address"), "unix://"+filepath.Join(sockets, name))
	}
	if err := n.removeSockets(); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(sockets, "ours")) || !exists(filepath.Join(sockets, "theirs")) {
		t.Error("the sockets of the node's shims should be gone, and no other")
	}
}

func TestRemoveTraces(t *testing.T) {
	t.Parallel()
	n, results, logs := newNode(t, t.TempDir()), t.TempDir(), t.TempDir()
	n.shared = []string{results + "/*", logs + "/*"}
	write(t, filepath.Join(results, "ours"), `{"sandbox":"`+n.Path("containerd/netns/cni-1")+`"}`)
	write(t, filepath.Join(results, "theirs"), `{"sandbox":"/run/netns/cni-1"}`)
	write(t, filepath.Join(results, "neighbour's"), `{"sandbox":"`+n.dir+`-2/netns/cni-1"}`)
	write(t, filepath.Join(results, "folder/file"), n.Path("pod-logs"))
	for name, target := range map[string]string{"ours": n.Path("pod-logs/pod/0.log"), "theirs": "/var/log/pods/pod/0.log"} {
		if err := os.Symlink(target, filepath.Join(logs, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.removeTraces(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		results + "/ours":        false,
		results + "/theirs":      true,
		results + "/neighbour's": true,
		results + "/folder/file": true,
		logs + "/ours":           false,
		logs + "/theirs":         true,
	} {
		if got := exists(path); got != want {
			t.Errorf("%s is there: got %t, want %t", path, got, want)
		}
	}
}
