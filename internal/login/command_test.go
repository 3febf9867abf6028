package login

import (
	"testing"

	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

// TestCommand checks that a wrong command line is reported as wrong usage
// whatever the cluster is, and a cluster that does not answer as a failure.
func TestCommand(t *testing.T) {
	plugintest.Homeless(t)
	for name, tc := range map[string]struct {
		reason string
		args   []string
		code   int
		says   string
	}{
		"NoStore":     {"a store must be named", nil, plugin.ExitUsage, "give one argument"},
		"Two":         {"and one alone", []string{"a", "b"}, plugin.ExitUsage, "give one argument"},
		"NoName":      {"a kind without a name", []string{"artifactstores/"}, plugin.ExitUsage, "give the name of an ArtifactStore"},
		"Path":        {"a name has no slash", []string{"artifactstores/a/b"}, plugin.ExitUsage, "give the name of an ArtifactStore"},
		"To":          {"nothing reads such a login", []string{"a", "--to", "helm"}, plugin.ExitUsage, `--to is docker, podman or print, not "helm"`},
		"OwnDuration": {"how long one's own token lasts is settled", []string{"a", "--duration", "1h"}, plugin.ExitUsage, "--duration needs --service-account"},
		"Short":       {"the API server issues none", []string{"a", "--service-account", "ci", "--duration", "1m"}, plugin.ExitUsage, "--duration is from 10m0s"},
		"Account":     {"no account has such a name", []string{"a", "--service-account", "../ci"}, plugin.ExitUsage, "../ci"},
		"NoCluster":   {"nobody answers", []string{"a"}, plugin.ExitFailed, "127.0.0.1:1"},
	} {
		plugintest.Command(NewCommand).Fails(t, name+": "+tc.reason, tc.args, tc.code, tc.says)
	}
}
