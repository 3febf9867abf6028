package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	n := newNode(t, t.TempDir())
	if r, err := n.readRecord(); err != nil || r.Boot != "" {
		t.Errorf("without a record: got %+v, %v", r, err)
	}
	if err := n.writeRecord(); err != nil {
		t.Fatal(err)
	}
	r, err := n.readRecord()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range sysctls {
		value, err := os.ReadFile(filepath.Join("/proc/sys", key))
		if err != nil {
			t.Fatal(err)
		}
		if r.Sysctls[key] != strings.TrimSpace(string(value)) {
			t.Errorf("%s is %q, and recorded as %q", key, value, r.Sysctls[key])
		}
	}
	if err := r.restoreSysctls(); err != nil { // nothing has changed, so that no rights are needed
		t.Error(err)
	}
	r.Sysctls = map[string]string{"no/such/parameter": "1"}
	if err := r.restoreSysctls(); err == nil {
		t.Error("a parameter that could not be restored went unnoticed")
	}
	write(t, n.recordPath(), "{")
	if err := n.Down(t.Context()); err == nil || !strings.Contains(err.Error(), n.recordPath()) {
		t.Errorf("a broken record: got %v, want an error that names it", err)
	}
}

func TestAbsent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := absent([]string{dir, dir + "/no", "/dev/null"}); len(got) != 1 || got[0] != dir+"/no" {
		t.Errorf("got %q, want only what is not there", got)
	}
}

func TestRemovePaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, file := range []string{"cni/results/a", "run/s/b", "run/others", "found/c"} {
		write(t, at(file), "")
	}
	r := record{Trees: []string{at("cni/results"), at("run/s"), at("never")}, Folders: []string{at("cni"), at("run"), at("gone")}}
	if err := r.removePaths(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"cni":        false, // the node's, and empty now
		"run/s":      false,
		"run/others": true, // another program's, in a folder that was made for the node
		"found/c":    true, // not in the record
	} {
		if got := exists(at(path)); got != want {
			t.Errorf("%s is there: got %t, want %t", path, got, want)
		}
	}
}
