package chart

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestNotesCreateTheAccount checks the syntax of all commands in the notes. With a registry it
// also runs those that create a namespace, an account, a RoleBinding and a Secret, in their
// order, and issues a token for the account, as `kubectl nfo publish --service-account` does.
func TestNotesCreateTheAccount(t *testing.T) {
	t.Parallel()
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("install kubectl to run the commands of the notes")
	}
	for values, want := range map[string]int{"registry: {enabled: true}": 4, "registry: {enabled: false}": 2} {
		out, err := helm(t, values, "install", "nfo", folder, "--namespace", namespace, "--dry-run=client", "--take-ownership", "--set", "image.repository="+repository, "--values", "-")
		if err != nil {
			t.Fatal(err)
		}
		_, notes, _ := strings.Cut(out, "\nNOTES:\n")
		check := exec.CommandContext(t.Context(), "bash", "-n")
		var script []string
		var commands strings.Builder
		for line := range strings.Lines(notes) {
			command, ok := strings.CutPrefix(line, "  ")
			if !ok {
				continue
			}
			commands.WriteString(command)
			if strings.HasPrefix(command, "kubectl create ") {
				script = append(script, strings.TrimSpace(command))
			}
		}
		check.Stdin = strings.NewReader(commands.String())
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s in\n%s", values, err, out, commands.String())
		}
		if len(script) != want {
			t.Errorf("%s: %d commands that create, want %d: %q", values, len(script), want, script)
		}
		if want != 4 {
			continue
		}
		script = append(script, "kubectl create token -n publisher ci --audience nfo-registry")
		run := exec.CommandContext(t.Context(), "bash", "-euc", strings.Join(script, "\n"))
		run.Env = append(os.Environ(), "KUBECONFIG="+env.Kubeconfig(), "KUBECACHEDIR="+home)
		var said bytes.Buffer
		run.Stdout, run.Stderr = &said, &said
		if err := run.Run(); err != nil {
			t.Errorf("%s says %s: %v: %s", kubectl, values, err, said.String())
		}
	}
}
