package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/plugin"
)

func TestPublishUsage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		args   []string
		says   string
	}{
		"Nothing":  {"a manifest is needed", nil, "the first argument is a manifest"},
		"NoKind":   {"kind and name", []string{"upf"}, "am/NAME"},
		"NoName":   {"a name too", []string{"am/"}, "am/NAME"},
		"Output":   {"two ways", []string{"am/upf", "-o", "yaml"}, "table or json"},
		"Mirror":   {"a source is needed", []string{"--mirror"}, "no source is given"},
		"Secret":   {"the mirror has none", []string{"--mirror", "--use-store-credentials", "r.example.com/a:1"}, "exclude each other"},
		"Keep":     {"a manifest keeps what it lists", []string{"am/upf", "--keep"}, "--keep needs --mirror"},
		"BadImage": {"nor is this one for the mirror", []string{"--mirror", "am/upf"}, "not a file, and no image"},
		"BadOnes":  {"all that is wrong at once", []string{"am/upf", "x.tgz", "nginx"}, "the file x.tgz does not exist\n\"nginx\" is not a file"},
		"WrongTyp": {"a flag that is not one", []string{"am/upf", "--force"}, "unknown flag"},
	} {
		code, _, errOut := execute(t, "", append([]string{"publish"}, tc.args...)...)
		if code != plugin.ExitUsage || !strings.Contains(errOut, tc.says) {
			t.Errorf("%s: exit code %d, %s; want %q: %s", name, code, errOut, tc.says, tc.reason)
		}
	}
}

// The help documents the exit codes of the program.
func TestPublishHelp(t *testing.T) {
	t.Parallel()
	_, out, _ := execute(t, "", "publish", "--help")
	for _, code := range []int{0, plugin.ExitFailed, plugin.ExitUsage} {
		if !strings.Contains(out, fmt.Sprintf("\n  %d  ", code)) {
			t.Errorf("the help does not say what exit code %d means", code)
		}
	}
}
