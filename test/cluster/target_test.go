package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goMod = "module " + module + "\n\nrequire (\n\tk8s.io/kubernetes v1.37.0 // indirect\n)\n"

// newSource makes a module directory with an up-to-date etcd in its bin.
func newSource(t *testing.T, mod string) *source {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), mod, 0o644)
	write(t, filepath.Join(dir, "go.sum"), "sums", 0o644)
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	src, err := readSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, src.bin("etcd"), "binary", 0o755)
	write(t, src.bin("etcd.stamp"), src.stamp(targets[0]), 0o644)
	return src
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestFresh(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		change func(t *testing.T, src *source)
		want   bool
	}{
		"unchanged": {
			reason: "a binary that was built from the same module with the same flags is used again",
			change: func(*testing.T, *source) {},
			want:   true,
		},
		"other versions": {
			reason: "go.mod decides which Kubernetes is built",
			change: func(_ *testing.T, src *source) { src.mod = append(src.mod, "\n"...) },
		},
		"other flags": {
			reason: "the flags carry the version that the API server reports",
			change: func(_ *testing.T, src *source) { src.flags = append(src.flags, "-race") },
		},
		"binary gone": {
			reason: "a stamp alone runs nothing",
			change: func(t *testing.T, src *source) {
				if err := os.Remove(src.bin("etcd")); err != nil {
					t.Fatal(err)
				}
			},
		},
		"binary not executable": {
			reason: "a copy may have lost its mode",
			change: func(t *testing.T, src *source) {
				if err := os.Chmod(src.bin("etcd"), 0o644); err != nil {
					t.Fatal(err)
				}
			},
		},
		"stamp gone": {
			reason: "a binary of unknown origin is not trusted",
			change: func(t *testing.T, src *source) {
				if err := os.Remove(src.bin("etcd.stamp")); err != nil {
					t.Fatal(err)
				}
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := newSource(t, goMod)
			test.change(t, src)
			if got := src.fresh(targets[0]); got != test.want {
				t.Errorf("fresh: got %t, want %t: %s", got, test.want, test.reason)
			}
		})
	}
}

func TestStampTellsTargetsApart(t *testing.T) {
	t.Parallel()
	src := newSource(t, goMod)
	seen := map[string]string{}
	for _, target := range wanted(true) {
		stamp := src.stamp(target)
		if other, ok := seen[stamp]; ok {
			t.Errorf("%s and %s have the same stamp", target.name, other)
		}
		seen[stamp] = target.name
	}
}

func TestReadSource(t *testing.T) {
	t.Parallel()
	src := newSource(t, goMod)
	for _, want := range []string{"gitVersion=v1.37.0 ", "gitMajor=1 ", "gitMinor=37 "} {
		if flags := strings.Join(src.flags, " "); strings.Count(flags, want) != 2 {
			t.Errorf("flags %q: want %q for the server and for the client library", flags, want)
		}
	}
	write(t, filepath.Join(src.dir, "go.mod"), "module "+module+"\n", 0o644)
	if _, err := readSource(src.dir); err == nil {
		t.Error("a go.mod without Kubernetes was accepted")
	}
}

// Every binary that is built must have a tool directive, or `go mod tidy` would drop its module.
func TestTargetsAreTools(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, tools, _ := strings.Cut(string(mod), "\ntool (")
	tools, _, _ = strings.Cut(tools, "\n)")
	for _, target := range wanted(true) {
		if target.source == "" && !strings.Contains(tools+"\n", "\t"+target.pkg+"\n") {
			t.Errorf("go.mod has no tool directive for %s", target.pkg)
		}
	}
}
