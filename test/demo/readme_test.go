package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/program"
)

// TestReadme runs the commands of the README's section "A version's life", in an environment of its own. `make` is left out:
// the test does what `make up` and `make down` do.
func TestReadme(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("install kubectl to run the README's commands")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	root := clone(t)
	if err := program.Build(filepath.Join(root, "bin"), false, "nfo", "kubectl-nfo"); err != nil {
		t.Fatal(err)
	}
	inClone(t, ctx, root, "go", "build", "-o", filepath.Join(root, "bin")+"/", "github.com/nfo-operator/nfo/test/demo", "github.com/nfo-operator/nfo/test/quickstart")
	t.Cleanup(func() { inClone(t, context.WithoutCancel(ctx), root, "bin/demo", "down") })
	inClone(t, ctx, root, "bin/demo", "up")
	said := inClone(t, ctx, root, "bash", "-o", "pipefail", "-c", `bin/quickstart --without make --section "A version's life" README.md | bash 2>&1`)
	for _, want := range []string{
		"artifactstore.nfo.dev/acme created",
		"sitenetworkservice.nfo.dev/edge-site-1 condition met",
		"has some resources attached to it",
		"sitenetworkservices/publisher/edge-site-1",
		"7 would be deleted, 0 kept",
		"Succeeded: 7 deleted, 0 kept",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the README's commands do not print %q", want)
		}
	}
	if t.Failed() {
		t.Log(said)
	}
}

// clone is a folder that stands in for a clone of the repository whose bin is empty.
func clone(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	from, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "go.mod", "go.sum", "config", "test"} {
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// inClone runs a program in a clone and returns its standard output. A program in the clone's bin begins with bin/.
func inClone(t *testing.T, ctx context.Context, root, name string, args ...string) string {
	t.Helper()
	if strings.HasPrefix(name, "bin/") {
		name = filepath.Join(root, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+filepath.Join(root, "bin", "kubectl"))
	if name != "go" { // which builds packages of the real clone
		cmd.Dir = root
		cmd.Env = append(cmd.Env, "PWD="+root)
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("running %s %v: %v: %s%s", name, args, err, &out, &errOut)
	}
	return out.String()
}
