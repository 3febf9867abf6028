package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/internal/plugin"
)

// execute runs a command line without a cluster.
func execute(t *testing.T, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), genericiooptions.IOStreams{In: strings.NewReader(in), Out: &o, ErrOut: &e}, args)
	return code, o.String(), e.String()
}

const template = `{
	"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
	"parameters": {"name": {"type": "string"}},
	"resources": [
		{"type": "Microsoft.HybridNetwork/publishers/artifactStores", "apiVersion": "2025-03-30", "location": "eastus", "name": "Contoso/main", "properties": {}},
		{"type": "Microsoft.HybridNetwork/publishers/artifactStores/artifactManifests", "apiVersion": "2025-03-30", "location": "eastus",
			"name": "[format('Contoso/main/{0}', parameters('name'))]", "properties": {"artifacts": [{"artifactName": "Upf", "artifactVersion": "1"}]}}
	]
}`

func TestImportUsage(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "parameters.json")
	if err := os.WriteFile(broken, []byte(`{"parameters": {"name": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason, in string
		args       []string
		code       int
		says       string
	}{
		"NoFile":      {"no default", "", nil, 2, "-f is required"},
		"Argument":    {"files are given by -f", "", []string{"template.json"}, 2, "unexpected argument"},
		"Flag":        {"no such flag", "", []string{"--force"}, 2, "unknown flag"},
		"DryRun":      {"three ways", "", []string{"-f", "-", "--dry-run=maybe"}, 2, "none, client or server"},
		"Output":      {"kubectl's formats", template, []string{"-f", "-", "-o", "toml"}, 2, "unable to match a printer"},
		"Registry":    {"a store and a URL", "", []string{"-f", "-", "--registry", "main"}, 2, "STORE=URL"},
		"RegistryURL": {"a whole URL, without credentials", "", []string{"-f", "-", "--registry", "main=https://u:secret@r"}, 2, "carries a user"},
		"APIVersion":  {"a date", "", []string{"-f", "-", "--api-version", "new"}, 2, "a date such as"},
		"Namespace":   {"a name", "", []string{"-f", "-", "-n", "A_B"}, 2, "not a name of a namespace"},
		"Parameter":   {"a name and a value", "", []string{"-f", "-", "--parameters", "name"}, 2, "NAME=VALUE"},
		"ParamFile":   {"a file that is there", "", []string{"-f", "-", "--parameters", "@" + broken + "x"}, 1, "no such file"},
		"ParamBroken": {"a parameter file", "", []string{"-f", "-", "--parameters", "@" + broken}, 1, "$.parameters.name has neither"},
		"Missing":     {"a file that is there", "", []string{"-f", broken + "x"}, 1, "no such file"},
		"NoJSON":      {"an input that can be read", "{", []string{"-f", "-"}, 1, "the input cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut := execute(t, tc.in, append([]string{"import"}, tc.args...)...)
			if code != tc.code || !strings.Contains(errOut, tc.says) || out != "" {
				t.Errorf("%s: exit code %d, want %d; it says %q and %q, want %q", tc.reason, code, tc.code, out, errOut, tc.says)
			}
			if strings.Contains(errOut, "secret") {
				t.Errorf("it tells the password: %s", errOut)
			}
		})
	}
}

func TestImportPrints(t *testing.T) {
	t.Parallel()
	const all = "namespace/contoso\nartifactstore.nfo.dev/main\nartifactmanifest.nfo.dev/upf-1\n"
	given := []string{"import", "-f", "-", "--parameters", "name=UPF-1", "--registry", "MAIN=https://registry.example.com"}
	for name, tc := range map[string]struct {
		reason string
		args   []string
		code   int
		out    string
		says   []string
	}{
		"Name": {"all mapped, and what to know is said", append(given, "-o", "name"), 0, all, []string{
			"To know:\n  $.resources[1].properties.artifacts[0].artifactName: the artifact Upf is looked for as upf: repositories are in lower case\n",
			"Means nothing here:\n  $.$schema: ",
			"\n  $.resources[0].location (and 1 more): where Azure keeps it is nothing to a cluster\n",
		}},
		"DryRun": {"as kubectl says it", append(given, "--dry-run=client"), 0, "namespace/contoso serverside-applied (dry run)\nartifactstore.nfo.dev/main serverside-applied (dry run)\nartifactmanifest.nfo.dev/upf-1 serverside-applied (dry run)\n", nil},
		"NotMapped": {"the rest is printed, and the exit code tells", []string{"import", "-f", "-", "-n", "publisher", "-o", "jsonpath={.metadata.namespace}/{.metadata.name}"}, 3, "", []string{
			"Not mapped:\n", "$.resources[0]: which registry the store is cannot be known; give it with --registry main=", `the parameter "name" has neither a value nor a default`,
		}},
		"JSON": {"several objects are one list", append(given, "-o", "json"), 0, "", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut := execute(t, template, tc.args...)
			if code != tc.code {
				t.Errorf("%s: exit code %d, want %d: %s", tc.reason, code, tc.code, errOut)
			}
			if name == "JSON" {
				if !strings.HasPrefix(out, "{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n") || strings.Count(out, `"kind": "ArtifactStore"`) != 1 {
					t.Errorf("%s: %s", tc.reason, out)
				}
			} else if diff := cmp.Diff(tc.out, out); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			for _, part := range tc.says {
				if !strings.Contains(errOut, part) {
					t.Errorf("%s: it does not say %q but\n%s", tc.reason, part, errOut)
				}
			}
		})
	}
}

// writeFiles writes files below a new directory, and returns the directory.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestImportFiles checks that every given file is read.
func TestImportFiles(t *testing.T) {
	t.Parallel()
	of := func(name string) string {
		return `{"$schema": "deploymentTemplate.json#", "parameters": {"v": {"type": "string"}}, "resources": [{"type": "Microsoft.HybridNetwork/publishers/artifactStores/artifactManifests",
			"apiVersion": "2025-03-30", "name": "contoso/main/` + name + `", "properties": {"artifacts": [{"artifactName": "a", "artifactVersion": "[parameters('v')]"}]}}]}`
	}
	dir := writeFiles(t, map[string]string{
		"base.json": of("base"), "manifest.json": of("manifest"), "all_deploy.parameters.json": `{"location": "uksouth", "v": "1"}`, "notes.txt": "x",
		"bicepconfig.json": `{}`, "deep/definition.json": of("deep"), "deep/definition.parameters.json": `{"parameters": {"v": {"value": "2"}}}`, "empty/readme.md": "x",
	})
	piped := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(piped, "stuck.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(names ...string) (args []string) {
		for _, name := range names {
			args = append(args, "-f", filepath.Join(dir, name))
		}
		return args
	}
	const base, manifest, deep = "artifactmanifest.nfo.dev/base\n", "artifactmanifest.nfo.dev/manifest\n", "artifactmanifest.nfo.dev/deep\n"
	for name, tc := range map[string]struct {
		reason string
		args   []string
		code   int
		out    []string
		says   string
	}{
		"Several":    {"each of them", at("base.json", "manifest.json", "all_deploy.parameters.json"), 0, []string{base, manifest}, ""},
		"Comma":      {"as with kubectl", []string{"-f", filepath.Join(dir, "base.json") + "," + filepath.Join(dir, "manifest.json"), "--parameters", "v=1"}, 0, []string{base, manifest}, ""},
		"Directory":  {"all of it", at("."), 0, []string{base, manifest}, "passed over"},
		"Recursive":  {"and what is below", append(at("."), "-R"), 0, []string{base, manifest, deep}, ""},
		"Standard":   {"beside standard input", append(at("base.json", "all_deploy.parameters.json"), "-f", "-"), 0, []string{base, "artifactmanifest.nfo.dev/input\n"}, ""},
		"Shared":     {"values for other templates are no loss", append(at("base.json"), "--parameters", "@"+filepath.Join(dir, "all_deploy.parameters.json")), 0, []string{base}, `declares a parameter "location"`},
		"Lost":       {"which file is said", at("base.json", "manifest.json"), 3, nil, "manifest.json: $.resources[0].properties.artifacts[0].artifactVersion"},
		"Twice":      {"one file two times is a mistake", at("base.json", "base.json"), 2, nil, "given twice"},
		"Missing":    {"one that is not there", at("base.json", "none.json"), 1, nil, "no such file"},
		"EmptyOne":   {"a directory without any", at("empty"), 1, nil, "no file whose name ends in .json"},
		"Pipe":       {"in a directory, a pipe that nobody writes to", []string{"-f", piped}, 1, nil, "stuck.json is not a regular file"},
		"EmptyName":  {"no name", []string{"-f", ""}, 2, nil, "-f is required"},
		"Registries": {"two URLs for one store", append(at("base.json"), "--registry", "main=https://a", "--registry", "MAIN=https://b"), 2, nil, "two URLs"},
		"Slashes":    {"no such store", append(at("base.json"), "--registry", "a/b/c=https://a"), 2, nil, "PUBLISHER/STORE=URL"},
		"Versions":   {"two for all", append(at("base.json"), "--api-version", "2025-03-30", "--api-version", "2023-09-01"), 2, nil, "given twice"},
		"VersionsOf": {"two for a store", append(at("base.json"), "--api-version", "main=2025-03-30", "--api-version", "MAIN=2023-09-01"), 2, nil, "gives main two dates"},
		"SameTwice":  {"the same date twice", append(at("base.json"), "--api-version", "main=2025-03-30", "--api-version", "main=2025-03-30"), 3, nil, `called "main"`},
		"VersionOf":  {"for a store, no date", append(at("base.json"), "--api-version", "main=new"), 2, nil, "is a date such as"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut := execute(t, strings.Replace(of("input"), "[parameters('v')]", "1", 1), append([]string{"import", "-o", "name"}, tc.args...)...)
			if code != tc.code || !strings.Contains(errOut, tc.says) {
				t.Errorf("%s: exit code %d, want %d; it says %q, want %q", tc.reason, code, tc.code, errOut, tc.says)
			}
			if want := len(tc.out); code == 0 && strings.Count(out, "artifactmanifest") != want {
				t.Errorf("%s: it makes %q", tc.reason, out)
			}
			for _, part := range tc.out {
				if !strings.Contains(out, part) {
					t.Errorf("%s: %q is missing in %q", tc.reason, part, out)
				}
			}
		})
	}
}

// TestExitCodes checks that the help, the documentation and the program agree on the exit codes.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	_, help, _ := execute(t, "", "import", "--help")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "tasks", "migrate-from-aosm.md"))
	if err != nil {
		t.Fatal(err)
	}
	says := map[int]bool{}
	for _, e := range importExits {
		says[e.code] = true
		if want := fmt.Sprintf("\n  %d  %s\n", e.code, e.means); !strings.Contains(help, want) {
			t.Errorf("the help does not have %q", want)
		}
		if want := fmt.Sprintf("\n| %d | %s |\n", e.code, e.means); !strings.Contains(string(page), want) {
			t.Errorf("the documentation does not have %q", want)
		}
	}
	const manifest = `{"id": "/providers/Microsoft.HybridNetwork/publishers/p/artifactStores/s/artifactManifests/m", "properties": {"artifacts": []}}`
	given := []string{"--api-version", "2025-03-30"}
	for name, tc := range map[string]struct {
		in   string
		args []string
		code int
	}{
		"All": {manifest, given, 0}, "Notes": {manifest + manifest, given, 0}, "Nothing": {`[]`, nil, 0}, "Ignored": {strings.Replace(manifest, "{", `{"location": "x", `, 1), given, 0},
		"Asked": {manifest, nil, 3}, "Unknown": {strings.Replace(manifest, "{", `{"novel": 1, `, 1), given, 3}, "Broken": {"{", nil, 1}, "Usage": {manifest, []string{"--api-version", "x"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, errOut := execute(t, tc.in, append([]string{"import", "-f", "-", "-o", "name"}, tc.args...)...)
			if code != tc.code || !says[code] {
				t.Errorf("the exit code is %d, want %d: %s", code, tc.code, errOut)
			}
			if strings.Contains(errOut, "Not mapped:") != (code == plugin.ExitNotMapped) {
				t.Errorf("the exit code is %d, and it says %s", code, errOut)
			}
		})
	}
}
