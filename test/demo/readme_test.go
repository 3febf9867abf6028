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

// undoSealed publishes one artifact in a sealed manifest, deletes the manifest,
// and then restores it with the commands of docs/tasks/delete-and-undo.md.
const undoSealed = `
set -euo pipefail
source bin/dev.env
cd bin
manifest() {
  echo '{"apiVersion": "nfo.dev/v1alpha1", "kind": "ArtifactManifest", "metadata": {"name": "sealed-1.0.0"}, "spec": {"artifactManifestState": "'$1'",
    "artifactStoreRef": {"name": "acme"}, "artifacts": [{"artifactName": "nf-template", "artifactVersion": "1.0.0"}]}}'
}
manifest Uploading | kubectl apply -f -
demo push file $REGISTRY/acme/sealed-1.0.0/nf-template:1.0.0 ../test/demo/nf-template.json
kubectl wait am/sealed-1.0.0 --for=condition=Uploaded --timeout=1m
manifest Uploaded | kubectl apply -f -
kubectl wait am/sealed-1.0.0 --for=jsonpath='{.status.conditions[?(@.type=="Ready")].observedGeneration}'=2 --timeout=1m
kubectl delete am sealed-1.0.0
name=$(kubectl get ts --field-selector spec.manifest.name=sealed-1.0.0 -o jsonpath='{.items[0].metadata.name}')
./quickstart --section 'Undo a sealed manifest' ../docs/tasks/delete-and-undo.md | sed "s#<name>#$name#" | bash
kubectl wait am/sealed-1.0.0 --for=condition=Uploaded --timeout=1m
kubectl get am sealed-1.0.0 -o jsonpath='state {.spec.artifactManifestState}'
`

// TestReadme runs the commands of the README's section "A version's life" in a separate environment,
// and there the undo of a sealed manifest. It does itself what `make up` and `make down` do.
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
	inClone(ctx, t, root, "go", "build", "-o", filepath.Join(root, "bin")+"/", "github.com/nfo-operator/nfo/test/demo", "github.com/nfo-operator/nfo/test/quickstart")
	t.Cleanup(func() { inClone(context.WithoutCancel(ctx), t, root, "bin/demo", "down") })
	inClone(ctx, t, root, "bin/demo", "up")
	said := inClone(ctx, t, root, "bash", "-o", "pipefail", "-c", `bin/quickstart --without make --section "A version's life" README.md | bash 2>&1`)
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
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("install jq to run the undo of a sealed manifest")
	}
	if said := inClone(ctx, t, root, "bash", "-c", undoSealed); !strings.HasSuffix(said, "state Uploaded") {
		t.Errorf("the undo of a sealed manifest ends with %q", said)
	}
}

// clone returns a folder that acts as a clone of the repository with an empty bin.
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
	for _, name := range []string{"README.md", "go.mod", "go.sum", "config", "docs", "test"} {
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// inClone runs a program in a clone, and returns its standard
// output. The name of a program in the clone's bin begins with bin/.
func inClone(ctx context.Context, t *testing.T, root, name string, args ...string) string {
	t.Helper()
	if strings.HasPrefix(name, "bin/") {
		name = filepath.Join(root, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+filepath.Join(root, "bin", "kubectl"), "CGO_ENABLED=0") // as in the Makefile
	if name != "go" {                                                                                      // it builds packages of the real clone
		cmd.Dir = root
		cmd.Env = append(cmd.Env, "PWD="+root)
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("running %s %v: %v: %s%s", name, args, err, &out, &errOut)
	}
	return out.String()
}
