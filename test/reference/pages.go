package reference

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// Pages compares the generated pages of root and its subcommands with
// those in folder, and first writes them if NFO_WRITE_REFERENCE is set.
func Pages(t *testing.T, root *cobra.Command, folder string) {
	t.Helper()
	root.DisableAutoGenTag = true // the tag contains today's date
	anywhere(t, root)
	want := t.TempDir()
	if err := doc.GenMarkdownTree(root, want); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("NFO_WRITE_REFERENCE") != "" {
		write(t, want, folder, pattern(root))
	}
	if diff := cmp.Diff(pages(t, want, "*.md"), pages(t, folder, pattern(root))); diff != "" {
		t.Errorf("%s is stale: run `make generate` and commit what it writes (-want +got):\n%s", folder, diff)
	}
}

// pattern matches the pages of root in a folder that also contains the pages of other programs.
func pattern(root *cobra.Command) string {
	return strings.ReplaceAll(root.CommandPath(), " ", "_") + "[._]*"
}

// anywhere replaces the home directory in the defaults of flags, so that the pages are the same for every user and machine.
func anywhere(t *testing.T, c *cobra.Command) {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	general := func(f *pflag.Flag) { f.DefValue = strings.ReplaceAll(f.DefValue, home+"/", "$HOME/") }
	c.PersistentFlags().VisitAll(general)
	c.Flags().VisitAll(general)
	for _, sub := range c.Commands() {
		anywhere(t, sub)
	}
}

// write replaces the pages in folder that match the pattern.
func write(t *testing.T, from, folder, pattern string) {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		err = errors.Join(err, os.Remove(name))
	}
	if err := errors.Join(err, os.MkdirAll(folder, 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, text := range pages(t, from, "*.md") {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// pages returns the text of each page in folder whose name matches the pattern, by name.
func pages(t *testing.T, folder, pattern string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = string(bytes.TrimSpace(text)) + "\n"
	}
	return all
}
