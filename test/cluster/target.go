package main

import (
	"crypto/sha256"
	_ "embed" // for the source of pause
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

const module = "github.com/nfo-operator/nfo/test/cluster"

// A target is a binary and the package that it is built from.
type target struct {
	name, pkg string
	cold      string // how long the first build takes on two cores, for messages
	source    string // of a package of this module, whose changes go.mod does not show
}

// targets are the binaries of every cluster.
var targets = []target{
	{name: "etcd", pkg: "go.etcd.io/etcd/server/v3", cold: "a minute or two"},
	{name: "kube-apiserver", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", cold: "about 10 minutes"},
	{name: "kube-controller-manager", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", cold: "about 3 minutes"},
}

//go:embed pause/main.go
var pauseSource string

// nodeTargets are the additional binaries of a cluster with a node, and kubectl for its users.
var nodeTargets = []target{
	{name: "kube-scheduler", pkg: "k8s.io/kubernetes/cmd/kube-scheduler", cold: "half a minute"},
	{name: "kubelet", pkg: "k8s.io/kubernetes/cmd/kubelet", cold: "about a minute"},
	{name: "kube-proxy", pkg: "k8s.io/kubernetes/cmd/kube-proxy", cold: "half a minute"},
	{name: "kubectl", pkg: "k8s.io/kubernetes/cmd/kubectl", cold: "about 2 minutes"},
	{name: "pause", pkg: module + "/pause", cold: "a second", source: pauseSource},
}

// wanted returns the targets of a cluster with or without a node.
func wanted(node bool) []target {
	if node {
		return slices.Concat(targets, nodeTargets)
	}
	return targets
}

// A source is this module's directory, and the inputs in it that determine the binaries.
type source struct {
	dir   string
	mod   []byte // go.mod and go.sum
	flags []string
}

var kubernetesVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)`)

// openSource finds the module from the working directory, which may be anywhere in its repository.
func openSource() (*source, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the sources: %w", err)
	}
	for {
		for _, d := range []string{dir, filepath.Join(dir, "test", "cluster")} {
			mod, err := os.ReadFile(filepath.Join(d, "go.mod"))
			if err == nil && strings.HasPrefix(string(mod), "module "+module+"\n") {
				return readSource(d)
			}
		}
		if dir == filepath.Dir(dir) {
			return nil, errors.New("not inside the repository: run it as 'go run -C test/cluster .'")
		}
		dir = filepath.Dir(dir)
	}
}

func readSource(dir string) (*source, error) {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return nil, fmt.Errorf("reading the sources: %w", err)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("reading the sources: %w", err)
	}
	version := kubernetesVersion.FindStringSubmatch(string(mod))
	if version == nil {
		return nil, fmt.Errorf("%s/go.mod does not require k8s.io/kubernetes", dir)
	}
	// Without these flags an API server reports version v0.0.0, which clients that check it refuse.
	ldflags := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		ldflags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean",
			pkg, version[1], version[2], version[3])
	}
	return &source{dir: dir, mod: append(mod, sum...), flags: []string{"-trimpath", "-ldflags", ldflags}}, nil
}

func (s *source) bin(name string) string { return filepath.Join(s.dir, "bin", name) }

// stamp returns a hash of everything that determines the build of t, except the Go version:
// a new toolchain does not make the cluster better, and a build takes a quarter of an hour.
func (s *source) stamp(t target) string {
	h := sha256.New()
	h.Write(s.mod)
	fmt.Fprintf(h, "\x00%s\x00%q\x00%s/%s%s", t.pkg, s.flags, runtime.GOOS, runtime.GOARCH, t.source)
	return hex.EncodeToString(h.Sum(nil))
}

// fresh reports whether bin has t with the current stamp.
func (s *source) fresh(t target) bool {
	stamp, err := os.ReadFile(s.bin(t.name + ".stamp"))
	return err == nil && string(stamp) == s.stamp(t) && executable(s.bin(t.name))
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
