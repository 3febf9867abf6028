package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

func TestRemoveUsage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		args   []string
		says   string
	}{
		"NoNamespace": {"the manager is in one", []string{"--namespace="}, "--namespace must not be empty"},
		"NoTimeout":   {"anyone who waits for nothing ends every purge at once", []string{"--timeout=0s"}, "--timeout is 0s"},
		"Past":        {"time runs one way", []string{"--timeout=-1m"}, "--timeout is -1m0s"},
		"Flag":        {"no such flag", []string{"--force"}, "unknown flag"},
		"Argument":    {"no arguments", []string{"everything"}, "unexpected argument"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusesUsage(t, newRemoveCommand(), tc.args, tc.reason, tc.says)
		})
	}
}

func TestRemoveHelpTellsEveryExitCode(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cmd := newRemoveCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{cronjob.ExitDone, cronjob.ExitFailed, cronjob.ExitUsage} {
		if !strings.Contains(out.String(), fmt.Sprintf("\n  %d  ", code)) {
			t.Errorf("exit code %d is not in the help", code)
		}
	}
}

func TestRemoveWithoutCluster(t *testing.T) {
	t.Parallel()
	flags := removeFlags{namespace: "nfo-system", timeout: time.Minute, clusterFlags: clusterFlags{kubeconfig: "/nonexistent"}}
	var coded *exitError
	if err := runRemove(t.Context(), flags, &bytes.Buffer{}); !errors.As(err, &coded) || coded.code != cronjob.ExitFailed {
		t.Errorf("the error is %v, want exit code 1", err)
	}
}
