// Command lint is golangci-lint with the Kubernetes API linter compiled in. It is a separate module, so that the
// operator's go.mod has none of its dependencies. Its go.mod pins the versions, and `make lint` builds it into bin/tools.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"
	_ "sigs.k8s.io/kube-api-linter" // registers the plugin "kubeapilinter"
)

const linterPath = "github.com/golangci/golangci-lint/v2"

func main() {
	info := commands.BuildInfo{GoVersion: runtime.Version(), Version: linterVersion(), Commit: "kube-api-linter compiled in"}
	if err := commands.Execute(info); err != nil {
		fmt.Fprintln(os.Stderr, "The linter ended with an error:", err)
		os.Exit(exitcodes.Failure)
	}
}

// linterVersion returns the version that go.mod pins, as recorded in the binary.
func linterVersion() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path == linterPath {
			return strings.TrimPrefix(dep.Version, "v")
		}
	}
	return "unknown"
}
