package plugintest

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/internal/plugin"
)

// Command makes the command of a package.
type Command func(genericiooptions.IOStreams, *genericclioptions.ConfigFlags) *cobra.Command

// Fails runs a command without an API server, and expects an exit code, an error that contains a text, and no output.
func (c Command) Fails(t testing.TB, reason string, args []string, code int, says string) {
	t.Helper()
	config, server, cache := genericclioptions.NewConfigFlags(false), "https://127.0.0.1:1", t.TempDir()
	config.APIServer, config.CacheDir = &server, &cache
	streams, _, out, _ := genericiooptions.NewTestIOStreams()
	cmd := c(streams, config)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	var failed *plugin.Error
	if !errors.As(err, &failed) || failed.Code != code || !strings.Contains(err.Error(), says) || out.Len() > 0 {
		t.Errorf("%s: %v, want the code %d and %q", reason, err, code, says)
	}
}
