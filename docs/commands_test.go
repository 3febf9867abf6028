package docs

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	block       = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")
	span        = regexp.MustCompile("`([^`\n]+)`")
	placeholder = regexp.MustCompile(`<[a-zA-Z -]+>`)
	between     = regexp.MustCompile(`\|\|?|&&|;|\$\(|\)|\n`)
	ownProgram  = regexp.MustCompile(`^(kubectl nfo|(?:bin/)?nfo)((?: [a-z]+)?)(?: |$)`)
	longFlag    = regexp.MustCompile(`(?:^| )--([a-z][a-z-]*)`)
	setValues   = regexp.MustCompile(`--set[ =]([^ ]+)`)
	ownFolder   = regexp.MustCompile(`(?:^| )((?:config|charts|docs|test|tools)/[^ *$"]+)`)
	target      = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

// Every command in a document has valid shell syntax, and its subcommand, flags, chart values, make targets and files exist.
func TestCommandsExist(t *testing.T) {
	t.Parallel()
	found := 0
	for name, text := range documents(t) {
		text = strings.ReplaceAll(text, "\\\n", " ")
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			found++
			shell := exec.CommandContext(t.Context(), "bash", "-n")
			shell.Stdin = strings.NewReader(placeholder.ReplaceAllString(m[1], "X"))
			if out, err := shell.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s in\n%s", name, err, out, m[1])
			}
			check(t, name, m[1])
		}
		for _, m := range span.FindAllStringSubmatch(text, -1) {
			check(t, name, m[1])
		}
	}
	if found < 25 {
		t.Errorf("only %d blocks of commands were found", found)
	}
}

// check reports, for each command in the lines, what does not exist.
func check(t *testing.T, document, commands string) {
	t.Helper()
	for line := range strings.Lines(commands) {
		line, _, _ = strings.Cut(line, " #")
		for _, command := range between.Split(line, -1) {
			for _, wrong := range missing(t, strings.TrimSpace(command)) {
				t.Errorf("%s: %s, in the command %q", document, wrong, strings.TrimSpace(command))
			}
		}
	}
}

// missing returns what a command uses that does not exist. It checks only commands of nfo, make, helm and kubectl.
func missing(t *testing.T, command string) (wrong []string) {
	t.Helper()
	first, rest, _ := strings.Cut(command, " ")
	switch m := ownProgram.FindStringSubmatch(command); {
	case m != nil:
		return missingOfProgram(t, strings.TrimPrefix(m[1], "bin/"), strings.TrimSpace(m[2]), command)
	case first == "make":
		targets := map[string]bool{}
		for _, m := range target.FindAllStringSubmatch(read(t, "../Makefile"), -1) {
			targets[m[1]] = true
		}
		for _, word := range strings.Fields(rest) {
			if !strings.ContainsAny(word, "=/") && !targets[word] {
				wrong = append(wrong, "the Makefile has no target "+word)
			}
		}
	case first == "helm" && strings.Contains(command, "charts/nfo"):
		values := read(t, "reference/values.md")
		for _, m := range setValues.FindAllStringSubmatch(command, -1) {
			for _, one := range strings.Split(m[1], ",") {
				if key, _, _ := strings.Cut(one, "="); !hasValue(values, key) {
					wrong = append(wrong, "the chart has no value "+key)
				}
			}
		}
	}
	if first == "helm" || first == "kubectl" {
		for _, m := range ownFolder.FindAllStringSubmatch(command, -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); errors.Is(err, fs.ErrNotExist) {
				wrong = append(wrong, "no file "+m[1])
			}
		}
	}
	return wrong
}

// missingOfProgram compares a command of nfo with its page in the reference, which is generated from the program.
func missingOfProgram(t *testing.T, program, subcommand, command string) (wrong []string) {
	t.Helper()
	page := strings.ReplaceAll(strings.TrimSpace(program+" "+subcommand), " ", "_") + ".md"
	text, err := os.ReadFile(filepath.Join("reference", "cli", page))
	if err != nil {
		return []string{program + " has no command " + subcommand}
	}
	for _, m := range longFlag.FindAllStringSubmatch(command, -1) {
		if !strings.Contains(string(text), "--"+m[1]) && m[1] != "version" {
			wrong = append(wrong, page+" has no flag --"+m[1])
		}
	}
	return wrong
}

// hasValue reports whether the chart documents the value key or one of its parents.
func hasValue(values, key string) bool {
	for ; key != ""; key = key[:max(0, strings.LastIndex(key, "."))] {
		if strings.Contains(values, "| `"+key+"` |") {
			return true
		}
	}
	return false
}

func TestCommandsThatDoNotExistAreFound(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, command string
		wrong           int
	}{
		{"a command as it is", "kubectl nfo why am/x -n y", 0},
		{"no such subcommand", "kubectl nfo whence am/x", 1},
		{"no such flag", "nfo purge --store x --quickly", 1},
		{"no such target", "make build teapot IMAGE=x", 1},
		{"no such value", "helm install nfo charts/nfo --set registry.enabled=true,registry.teapot=1", 1},
		{"a value in one", "helm install nfo charts/nfo --set registry.nodeSelector.disk=fast", 0},
		{"no such file", "kubectl apply -f config/teapot", 1},
		{"somebody else's command", "docker teapot --short", 0},
	} {
		if got := missing(t, tc.command); len(got) != tc.wrong {
			t.Errorf("%s: %q", tc.reason, got)
		}
	}
}

// documents returns the text of every document that is not generated, by path. It leaves out the changelog.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bin" || d.Name() == "testdata" || d.Name() == "reference" || d.Name() != ".." && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case !d.IsDir() && filepath.Ext(name) == ".md" && d.Name() != "CHANGELOG.md":
			all[name] = read(t, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
