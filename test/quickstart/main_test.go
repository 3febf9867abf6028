package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestScriptRunsTheDocument(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, document string
		well             bool
		says             string
	}{
		{"commands run in order, and others do not", "a\n```sh\necho one\necho 'it''s'\n```\n```yaml\nexit 1\n```\nexit 1\n", true, "$ echo one\none\n$ echo 'it''s'\nits\n"},
		{"one that fails ends it", "```sh\nfalse\necho more\n```\n", false, "$ false\n"},
		{"one that fails in a pipe ends it", "```sh\nfalse | cat\n```\n", false, "$ false | cat\n"},
		{"one that is to be refused fails", "```sh\nfalse   # refused\necho more\n```\n", true, "$ false   # refused\n$ echo more\nmore\n"},
		{"one that is to be refused and is not ends it", "```sh\ntrue # refused\necho more\n```\n", false, "$ true # refused\n"},
		{"what is left out does not run", "```sh\nkind create\nkindly 2>/dev/null || echo ok\n```\n", true, "$ kindly 2>/dev/null || echo ok\nok\n"},
		{"what runs beside the rest ends with it", "```sh\ncat /dev/zero >/dev/null &\necho ok\n```\n", true, "$ cat /dev/zero >/dev/null &\n$ echo ok\nok\n"},
	} {
		cmd := exec.CommandContext(t.Context(), "bash")
		cmd.Stdin = strings.NewReader(script(tc.document, []string{"", "kind"}))
		out, err := cmd.Output()
		if (err == nil) != tc.well || string(out) != tc.says {
			t.Errorf("%s: %v, %q; want %q", tc.reason, err, out, tc.says)
		}
	}
}

func TestSectionIsPrintedAlone(t *testing.T) {
	t.Parallel()
	const document = "# Title\n\na\n\n## One\nb\n### Part\nc\n\n## Two\nd\n"
	for heading, want := range map[string]string{"": document, "One": "b\n### Part\nc\n", "Two": "d\n", "Part": "", "Three": ""} {
		if got := section(document, heading); got != want {
			t.Errorf("%q: %q, want %q", heading, got, want)
		}
	}
}
