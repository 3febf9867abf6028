package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

func TestPurgeUsage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		args   []string
		says   string
	}{
		"NoNamespace": {"no default", []string{"--store=acme"}, "--namespace is required"},
		"NoStore":     {"a purge is of one store", []string{"--namespace=publisher"}, "--store is required"},
		"Output":      {"two forms", []string{"--namespace=publisher", "--store=acme", "--output=yaml"}, "table or json"},
		"Wait":        {"a purge ends", []string{"--namespace=publisher", "--store=acme", "--wait-for-collection=2h"}, "between 0 and 1h0m0s"},
		"WaitBefore":  {"no time is below 0", []string{"--namespace=publisher", "--store=acme", "--wait-for-collection=-1s"}, "between 0 and 1h0m0s"},
		"Flag":        {"no such flag", []string{"--force"}, "unknown flag"},
		"Argument":    {"no arguments", []string{"acme"}, "unexpected argument"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusesUsage(t, newPurgeCommand(), tc.args, tc.reason, tc.says)
		})
	}
}

// refusesUsage checks that a command refuses its arguments as wrong usage.
func refusesUsage(t *testing.T, cmd *cobra.Command, args []string, reason, says string) {
	t.Helper()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	var coded *exitError
	if !errors.As(err, &coded) || coded.code != cronjob.ExitUsage || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: the error is %v, want exit code 2 and %q", reason, err, says)
	}
}

func TestPurgeWaitsFor10MinutesUnlessItSaysHowLong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ reason, arg, want string }{
		{"by hand nobody waits unasked", "--dry-run", "0s"},
		{"without a value", "--wait-for-collection", "10m0s"},
		{"with one", "--wait-for-collection=1m", "1m0s"},
	} {
		cmd := newPurgeCommand()
		if err := cmd.ParseFlags([]string{tc.arg}); err != nil {
			t.Fatal(err)
		}
		if got := cmd.Flags().Lookup("wait-for-collection").Value.String(); got != tc.want {
			t.Errorf("%s: it waits for %s, want %s", tc.reason, got, tc.want)
		}
	}
}

func TestPurgeHelpTellsEveryExitCode(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cmd := newPurgeCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{cronjob.ExitDone, cronjob.ExitFailed, cronjob.ExitUsage, cronjob.ExitRunning, cronjob.ExitRefused} {
		if !strings.Contains(out.String(), fmt.Sprintf("\n  %d  ", code)) {
			t.Errorf("exit code %d is not in the help", code)
		}
	}
}

// In a table the reason of a failure is only in the error, so that a user
// reads it once; JSON must contain it, because a program reads only the JSON.
func TestPurgeSaysOnceWhyItFailed(t *testing.T) {
	t.Parallel()
	failed := errors.New("no answer")
	for output, want := range map[string]bool{"table": false, "json": true} {
		var out bytes.Buffer
		report := purge.Report{Store: "publisher/acme", Outcome: v1alpha1.PurgeFailed, Message: "no answer"}
		if err := concludePurge(report, failed, output, &out); !errors.Is(err, failed) {
			t.Errorf("%s: the error is %v", output, err)
		}
		if says := out.String(); strings.Contains(says, "no answer") != want || !strings.Contains(says, "Failed") {
			t.Errorf("%s: the report is %s", output, says)
		}
	}
}

func TestPurgeExitCode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		err    error
		want   int
	}{
		"Running": {"somebody else holds the lease", fmt.Errorf("purging: %w: x", purge.ErrRunning), 3},
		"Refused": {"not now", fmt.Errorf("purging: %w: x", purge.ErrRefused), 4},
		"Account": {"nothing was begun", fmt.Errorf("%w: x", purge.ErrAccount), 4},
		"Failed":  {"anything else", errors.New("x"), 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := purgeExitCode(tc.err); got != tc.want {
				t.Errorf("%s: the exit code is %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

func TestPurgeWithoutCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there, missing := filepath.Join(dir, "termination-log"), filepath.Join(dir, "missing")
	if err := os.WriteFile(there, []byte("what was there before, and is longer than the error that follows it: "+strings.Repeat("x", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{there, missing} {
		flags := purgeFlags{namespace: "publisher", store: "acme", output: "table", termination: file, clusterFlags: clusterFlags{kubeconfig: "/nonexistent"}}
		err := runPurge(t.Context(), flags, &bytes.Buffer{}, &bytes.Buffer{})
		var coded *exitError
		if !errors.As(err, &coded) || coded.code != cronjob.ExitFailed {
			t.Fatalf("the error is %v, want exit code 1", err)
		}
		if reported, readErr := os.ReadFile(file); file == there && (readErr != nil || string(reported) != err.Error()) {
			t.Errorf("the kubelet gets %q (%v), want %q", reported, readErr, err)
		}
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("outside of a container a file is left behind: %v", err)
	}
}

func TestWhatTheKubeletIsTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, text, want string
	}{
		"Lines":    {"one line, as in the report", "two things failed\nboth badly", "two things failed; both badly"},
		"Long":     {"what the kubelet keeps, cut between characters", strings.Repeat("x", 4092) + "éxxx", strings.Repeat("x", 4092) + "..."},
		"Controls": {"nothing that a terminal obeys", "refused\x1b[2J\u202e", "refused?[2J?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "termination-log")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			writeTermination(file, errors.New(tc.text))
			if reported, err := os.ReadFile(file); err != nil || string(reported) != tc.want {
				t.Errorf("%s: it gets %d bytes, %.60q (%v)", tc.reason, len(reported), reported, err)
			}
		})
	}
}

// With --as, with an impersonated user in the kubeconfig file, or in
// a dry run, the account is not looked up: no API server runs here.
func TestPurgeAsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: u, user: {as: jane}}],
contexts: [{name: c, context: {cluster: c}}, {name: as, context: {cluster: c, user: u}}], current-context: c}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason, context, as string
		dryRun, asks        bool
	}{
		"Itself":     {reason: "it has to know who it is", context: "c", asks: true},
		"DryRun":     {reason: "it writes nothing", context: "c", dryRun: true},
		"Flag":       {reason: "the command line says who", context: "c", as: "joe"},
		"Kubeconfig": {reason: "the kubeconfig says who", context: "as"},
	} {
		t.Run(name, func(t *testing.T) {
			f := purgeFlags{namespace: "publisher", store: "acme", dryRun: tc.dryRun, clusterFlags: clusterFlags{kubeconfig: file, context: tc.context, as: tc.as}}
			err := f.impersonate(t.Context(), slog.New(slog.DiscardHandler))
			if (err != nil) != tc.asks || f.as != tc.as {
				t.Errorf("%s: as %q, %v", tc.reason, f.as, err)
			}
		})
	}
}
