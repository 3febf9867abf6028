package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/plugin"
)

func TestLoginUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		args   []string
		says   string
	}{
		{"a store is needed", nil, "give one argument, the name of an ArtifactStore"},
		{"there is one login at a time", []string{"acme", "other"}, "give one argument"},
		{"nobody prolongs your own token", []string{"acme", "--duration", "2h"}, "--duration needs --service-account"},
		{"a client that nfo does not know", []string{"acme", "--to", "helm"}, "docker, podman or print"},
	} {
		code, _, errOut := execute(t, "", append([]string{"login"}, tc.args...)...)
		if code != plugin.ExitUsage || !strings.Contains(errOut, tc.says) {
			t.Errorf("%s: exit code %d, %s; want %q", tc.reason, code, errOut, tc.says)
		}
	}
}

// The help documents the exit codes of the program.
func TestLoginHelp(t *testing.T) {
	t.Parallel()
	_, out, _ := execute(t, "", "login", "--help")
	for _, code := range []int{0, plugin.ExitFailed, plugin.ExitUsage} {
		if !strings.Contains(out, fmt.Sprintf("\n  %d  ", code)) {
			t.Errorf("the help does not say what exit code %d means", code)
		}
	}
}
