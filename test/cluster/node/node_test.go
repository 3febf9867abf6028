package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newNode opens a node whose link and files are not the machine's.
func newNode(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	n.link, n.shared = filepath.Join(t.TempDir(), "link"), nil
	return n
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestOpen(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "real/there"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(root, "alias")); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ reason, dir, want string }{
		"plain":       {reason: "it is named as it is", dir: "real/there", want: "real/there"},
		"by a link":   {reason: "mounts are listed under their real names", dir: "alias/there", want: "real/there"},
		"to be made":  {reason: "up opens it before and after it is made", dir: "real/new", want: "real/new"},
		"gone, moved": {reason: "down finds what is left of one that was deleted", dir: "alias/new/deep", want: "real/new/deep"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := Open(filepath.Join(root, test.dir))
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(root, test.want); n.owner != want {
				t.Errorf("got %s, want %s: %s", n.owner, want, test.reason)
			}
		})
	}
}

func TestUpRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason  string
		prepare func(t *testing.T, n *Node)
		want    string
	}{
		"another node": {
			reason: "its addresses are taken, and one has to know by whom",
			prepare: func(t *testing.T, n *Node) {
				if err := os.Symlink("/srv/other", n.link); err != nil {
					t.Fatal(err)
				}
			},
			want: "'cluster down --dir /srv/other'",
		},
		"somebody's folder": {
			reason:  "the node's folder is removed at the end",
			prepare: func(t *testing.T, n *Node) { write(t, n.Path("notes.txt"), "mine") },
			want:    "choose another directory",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, t.TempDir())
			test.prepare(t, n)
			if err := n.Up(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want a word of %q: %s", err, test.want, test.reason)
			}
			if exists(n.recordPath()) {
				t.Errorf("it refused, but has begun: %s", test.reason)
			}
		})
	}
}

// If Up refused to start, Down must remove nothing.
func TestDownSparesOthers(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{"", "/srv/other"} {
		n := newNode(t, t.TempDir())
		if owner != "" {
			if err := os.Symlink(owner, n.link); err != nil {
				t.Fatal(err)
			}
		}
		write(t, n.Path("notes.txt"), "mine")
		if err := n.Down(t.Context()); err != nil {
			t.Errorf("owner %q: %v", owner, err)
		}
		if !exists(n.Path("notes.txt")) {
			t.Errorf("owner %q: a file that no node made is gone", owner)
		}
		if got, _ := os.Readlink(n.link); got != owner {
			t.Errorf("the machine's node was %q's and is now %q's", owner, got)
		}
	}
}

// After a reboot only files are left. The machine's link is gone, or points to another directory.
func TestDownAfterReboot(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		owner  string // of the machine's link, "" without one
		want   bool   // whether the compiled-in path still exists
	}{
		"no node since":   {reason: "the paths are still this node's"},
		"another's since": {reason: "the paths are the other node's by now", owner: "/srv/other", want: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, t.TempDir())
			path := filepath.Join(t.TempDir(), "results/pod")
			write(t, path, "10.0.0.1")
			write(t, n.Path("kubelet/file"), "")
			// Setting a parameter that does not exist would fail.
			write(t, n.recordPath(), `{"Boot":"another","Sysctls":{"no/such/parameter":"1"},"Trees":["`+filepath.Dir(path)+`"]}`)
			if test.owner != "" {
				if err := os.Symlink(test.owner, n.link); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := n.Down(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if exists(n.dir) || exists(n.recordPath()) || n.Exists() {
				t.Error("the node's files are still there")
			}
			if got := exists(path); got != test.want {
				t.Errorf("the compiled-in path is there: got %t, want %t: %s", got, test.want, test.reason)
			}
		})
	}
}
