package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
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
		"NoFile":      {"there is no default", "", nil, 2, "-f is required"},
		"Argument":    {"files are given by -f", "", []string{"template.json"}, 2, "unexpected argument"},
		"Flag":        {"no such flag", "", []string{"--force"}, 2, "unknown flag"},
		"DryRun":      {"three ways", "", []string{"-f", "-", "--dry-run=maybe"}, 2, "none, client or server"},
		"Output":      {"kubectl's formats", template, []string{"-f", "-", "-o", "toml"}, 2, "unable to match a printer"},
		"Registry":    {"a store and a URL", "", []string{"-f", "-", "--registry", "main"}, 2, "STORE=URL"},
		"RegistryURL": {"a whole URL, without credentials", "", []string{"-f", "-", "--registry", "main=https://u:secret@r"}, 2, "carries a user"},
		"APIVersion":  {"a date", "", []string{"-f", "-", "--api-version", "new"}, 2, "a date such as"},
		"Namespace":   {"a name", "", []string{"-f", "-", "-n", "A_B"}, 2, "no name of a namespace"},
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
		"Name": {"all mapped, and what to know is told", append(given, "-o", "name"), 0, all, []string{
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
