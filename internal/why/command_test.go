package why

import (
	"testing"

	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

// TestCommand checks that a wrong command line is reported as wrong usage
// whatever the cluster is, and a cluster that does not answer as a failure.
func TestCommand(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		args   []string
		code   int
		says   string
	}{
		"Nothing":   {"something must be asked for", nil, plugin.ExitUsage, "one argument is needed"},
		"Two":       {"and one thing alone", []string{"am/a", "am/b"}, plugin.ExitUsage, "one argument is needed"},
		"NoKind":    {"a name alone is of no kind", []string{"upf"}, plugin.ExitUsage, "neither KIND/NAME nor an image"},
		"NoName":    {"nor is a kind alone an object", []string{"am/"}, plugin.ExitUsage, "neither KIND/NAME nor an image"},
		"NoTag":     {"which image is meant is not known", []string{"r.example.com/acme/upf"}, plugin.ExitUsage, "neither KIND/NAME nor an image"},
		"NoHost":    {"nor where it is", []string{"upf:1"}, plugin.ExitUsage, "registry's host"},
		"Output":    {"nothing reads it", []string{"am/upf", "-o", "yaml"}, plugin.ExitUsage, `--output is tree or json, not "yaml"`},
		"NoCluster": {"nobody answers", []string{"am/upf"}, plugin.ExitFailed, "127.0.0.1:1"},
		"NoStores":  {"nobody says whose an image is", []string{"r.example.com/acme/upf:1"}, plugin.ExitFailed, "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plugintest.Command(NewCommand).Fails(t, tc.reason, tc.args, tc.code, tc.says)
		})
	}
}
