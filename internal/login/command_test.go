package login

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

// TestCommand: a wrong command line is wrong usage, whatever the cluster is; a cluster that does not answer is a failure.
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
		config, server := genericclioptions.NewConfigFlags(false), "https://127.0.0.1:1"
		config.APIServer = &server
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		cmd := NewCommand(streams, config)
		cmd.SetArgs(tc.args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(t.Context())
		var failed *plugin.Error
		if !errors.As(err, &failed) || failed.Code != tc.code || !strings.Contains(err.Error(), tc.says) || out.Len() > 0 {
			t.Errorf("%s: %s: %v, want the code %d and %q", name, tc.reason, err, tc.code, tc.says)
		}
	}
}
