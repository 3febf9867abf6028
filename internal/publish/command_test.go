package publish

import (
	"testing"

	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

// TestCommand checks that a wrong command line exits as wrong usage whatever the state of the cluster, and
// that an unreachable cluster exits as a failure, with "nothing was pushed" if the command line has sources.
func TestCommand(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		args   []string
		code   int
		says   string
	}{
		"Nothing":     {"a manifest must be named", nil, plugin.ExitUsage, "the first argument is a manifest: am/NAME"},
		"NoSource":    {"into the mirror goes something", []string{"--mirror"}, plugin.ExitUsage, "which images are to be copied into the mirror?"},
		"Output":      {"nothing reads it", []string{"am/upf", "-o", "yaml"}, plugin.ExitUsage, `--output is table or json, not "yaml"`},
		"TwoLogins":   {"one of them alone can be used", []string{"am/upf", "--service-account", "ci", "--use-store-credentials"}, plugin.ExitUsage, "give one of --service-account and --use-store-credentials"},
		"MirrorLogin": {"the mirror has no Secret", []string{"--mirror", "r.example.com/a:1", "--use-store-credentials"}, plugin.ExitUsage, "exclude each other"},
		"Keep":        {"a manifest keeps what it lists", []string{"am/upf", "--keep"}, plugin.ExitUsage, "--keep needs --mirror"},
		"Namespace":   {"nor is a mirror asked for", []string{"am/upf", "--mirror-namespace", "nfo"}, plugin.ExitUsage, "--mirror-namespace needs --mirror"},
		"Account":     {"no account has such a name", []string{"am/upf", "--service-account", "../ci"}, plugin.ExitUsage, "../ci"},
		"Source":      {"an archive that is not one", []string{"am/upf", "upf:1=oci:"}, plugin.ExitUsage, "oci:"},
		"NoCluster":   {"nobody answers", []string{"am/upf"}, plugin.ExitFailed, "127.0.0.1:1"},
		"NotPushed":   {"and something was to be pushed", []string{"am/upf", "upf:1=r.example.com/upf:1"}, plugin.ExitFailed, "; nothing was pushed"},
		"NoMirror":    {"nor is there a mirror", []string{"--mirror", "r.example.com/upf:1"}, plugin.ExitFailed, "; nothing was pushed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plugintest.Command(NewCommand).Fails(t, tc.reason, tc.args, tc.code, tc.says)
		})
	}
}
